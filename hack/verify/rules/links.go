package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	notSlug = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// brokenLinks follows the relative links of all documents, and their anchors.
func brokenLinks() ([]string, error) {
	return eachDocument(func(document, text string) (faults []string) {
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			if !reachable(document, match[1]) {
				faults = append(faults, fmt.Sprintf("%s: the link %s leads nowhere", document, match[1]))
			}
		}
		return faults
	})
}

func eachDocument(check func(document, text string) (faults []string)) (faults []string, err error) {
	documents, err := files("*.md")
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			return nil, err
		}
		faults = append(faults, check(document, string(text))...)
	}
	return faults, err
}

func files(pattern string) ([]string, error) {
	list, err := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", pattern).Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	return strings.Fields(string(list)), nil
}

func reachable(document, target string) bool {
	if strings.Contains(target, "://") {
		return true
	}
	path, anchor, _ := strings.Cut(target, "#")
	file := document
	if path != "" {
		file = filepath.Join(filepath.Dir(document), path)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		_, err = os.Stat(file)
		return err == nil && anchor == ""
	}
	return anchor == "" || hasHeading(string(text), anchor)
}

// hasHeading makes anchors of headings as Git forges do.
func hasHeading(text, anchor string) bool {
	for _, match := range heading.FindAllStringSubmatch(text, -1) {
		slug := notSlug.ReplaceAllString(strings.ToLower(match[1]), "")
		if strings.ReplaceAll(strings.TrimSpace(slug), " ", "-") == anchor {
			return true
		}
	}
	return false
}
