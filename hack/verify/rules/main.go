// Command rules prints every import, and every link and test in the documentation, that
// breaks a rule of the project. It prints nothing if all is well.
package main

import (
	"fmt"
	"os"
)

func main() {
	for _, check := range []func() ([]string, error){brokenImports, brokenLinks, missingTests} {
		faults, err := check()
		if err != nil {
			fmt.Fprintln(os.Stderr, "rules:", err)
			os.Exit(1)
		}
		for _, fault := range faults {
			fmt.Println(fault)
		}
	}
}
