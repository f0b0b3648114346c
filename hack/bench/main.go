// Command bench makes tables of what BenchmarkClaims has measured, and the data of a plot:
//
//	go run ./hack/bench DIRECTORY
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("want the directory of the results")
	}
	file, err := os.Open(filepath.Join(args[0], "claims.csv"))
	if err != nil {
		return err
	}
	defer file.Close()
	all, err := read(file)
	if err != nil {
		return err
	}
	data, err := os.Create(filepath.Join(args[0], "rates.dat"))
	if err != nil {
		return err
	}
	writeRates(data, all)
	writeTables(os.Stdout, all)
	return data.Close()
}
