package audit

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// WriteJSON writes the report for programs, and for DeleteOrphans.
func (r Report) WriteJSON(to io.Writer) error {
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// WriteText writes a line for each finding, and a summary. What belongs to other
// installations is counted only: it may be as many again.
func (r Report) WriteText(to io.Writer) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	if len(r.Findings) > 0 {
		fmt.Fprintln(table, "KIND\tPLACE\tNAME\tDETAIL")
	}
	others := 0
	for _, f := range r.Findings {
		if f.Kind == AnotherInstallation && f.PersistentVolume == "" {
			others++
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", f.Kind, f.Place, f.Name, f.Detail)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if others > 0 {
		fmt.Fprintf(to, "%d things belong to other installations, and have no PersistentVolume here (listed with -o json)\n", others)
	}
	complete := "all of it was looked at"
	if !r.Summary.Complete {
		complete = "not all of it was looked at"
	}
	_, err := fmt.Fprintf(to, "%d PersistentVolumes; %d volumes in %d places of Ceph; %d problems; %s\n",
		r.Summary.Volumes, r.Summary.CephVolumes, r.Summary.Places, r.Summary.Problems, complete)
	return err
}
