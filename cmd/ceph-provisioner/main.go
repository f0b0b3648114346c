// Command ceph-provisioner makes, grows and deletes volumes in Ceph for
// PersistentVolumeClaims.
package main

import (
	"errors"
	"fmt"
	"os"
)

// version is set by the linker.
var version = "development"

func main() {
	err := run(os.Args[1:])
	var code exitCode
	switch {
	case errors.As(err, &code):
		os.Exit(int(code))
	case err != nil:
		die(err)
	}
}

// die ends the process at once, with the calls to Ceph that are under way.
func die(err error) {
	fmt.Fprintln(os.Stderr, "ceph-provisioner:", err)
	os.Exit(1)
}

// exitCode ends the process without a message: what there is to say was said.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }
