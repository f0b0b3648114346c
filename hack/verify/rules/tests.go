package main

import (
	"fmt"
	"os"
	"regexp"
)

var (
	testName = regexp.MustCompile(`\b(?:Test|Benchmark|Fuzz)[A-Z]\w*`)
	testFunc = regexp.MustCompile(`(?m)^func (\w+)\(`)
)

// missingTests are those that a document names as showing what it says.
func missingTests() ([]string, error) {
	known := map[string]bool{}
	sources, err := files("*_test.go")
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			return nil, err
		}
		for _, match := range testFunc.FindAllStringSubmatch(string(text), -1) {
			known[match[1]] = true
		}
	}
	if err != nil {
		return nil, err
	}
	return eachDocument(func(document, text string) (faults []string) {
		for _, name := range testName.FindAllString(text, -1) {
			if !known[name] {
				faults = append(faults, fmt.Sprintf("%s: there is no test %s", document, name))
			}
		}
		return faults
	})
}
