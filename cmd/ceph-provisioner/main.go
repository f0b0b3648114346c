// Command ceph-provisioner makes, grows and deletes volumes in Ceph for
// PersistentVolumeClaims.
package main

import (
	"fmt"
	"os"
)

// version is set by the linker.
var version = "development"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ceph-provisioner:", err)
		os.Exit(1)
	}
}
