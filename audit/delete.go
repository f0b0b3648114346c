package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"ceph.example/ceph-provisioner/cephclient"
)

// freshFor is how long what was read from Kubernetes is good for deleting by it.
const freshFor = 10 * time.Second

// ReadReport reads the list that an earlier audit has printed as JSON.
func ReadReport(from io.Reader, installation string) (Report, error) {
	var list Report
	if err := json.NewDecoder(from).Decode(&list); err != nil {
		return list, fmt.Errorf("the list can't be read, it must be what `audit -o json` has printed: %w", err)
	}
	if list.Installation != installation {
		return list, fmt.Errorf("the list is of installation %q, and this is %q: use a list that was printed here", list.Installation, installation)
	}
	return list, nil
}

// inOrder is how the provisioner deletes, too: while its volume is there, a user may be
// needed; while its user is there, a secret leads to it.
var inOrder = [][]Kind{{OrphanImage, OrphanSubvolume, OrphanDirectory}, {OrphanUser}, {OrphanSecret}}

// DeleteOrphans deletes what is an orphan on the list and in the report of the audit that
// was just run, and tells of each thing on the list what became of it. It returns what is
// left of the report, and how many deletions have failed.
func (a *Audit) DeleteOrphans(ctx context.Context, list, report Report, grace time.Duration, told io.Writer) (left Report, failed int, err error) {
	current := map[identity]bool{}
	for _, finding := range report.Findings {
		current[finding.identity()] = true
	}
	for _, kinds := range inOrder {
		for _, listed := range list.Findings {
			if !slices.Contains(kinds, listed.Kind) {
				continue
			}
			refusal, err := "it is no orphan any more, or another thing under that name", error(nil)
			if current[listed.identity()] {
				refusal, err = a.deleteOne(ctx, listed.identity(), grace)
			}
			switch {
			case err != nil && ctx.Err() != nil:
				return report, failed, ctx.Err()
			case err != nil:
				failed++
				fmt.Fprintf(told, "failed   %s: %v\n", listed.label(), err)
			case refusal != "":
				fmt.Fprintf(told, "kept     %s: %s\n", listed.label(), refusal)
			default:
				fmt.Fprintf(told, "deleted  %s\n", listed.label())
			}
		}
	}
	for _, listed := range list.Findings {
		if !listed.Kind.isOrphan() {
			fmt.Fprintf(told, "kept     %s: only orphans are deleted\n", listed.label())
		}
	}
	left = newReport(report.Installation, report.StartedAt, confirmed(report.Findings, compare(a.state)))
	return left, failed, nil
}

// label names a finding's subject in one line.
func (f Finding) label() string {
	return fmt.Sprintf("%s %s (%s)", f.Kind, f.Name, f.Place)
}

// deleteOne looks once more at an orphan, and deletes it unless something speaks against it.
func (a *Audit) deleteOne(ctx context.Context, id identity, grace time.Duration) (refusal string, err error) {
	orphan, err := a.orphanNow(ctx, id)
	if err != nil {
		return "", err
	}
	if orphan == nil {
		return "it is no orphan any more", nil
	}
	if refusal := a.state.mayDelete(*orphan, grace, time.Now()); refusal != "" {
		return refusal, nil
	}
	switch {
	case orphan.found != nil:
		err = a.deleteVolume(ctx, orphan.found)
	case orphan.Kind == OrphanUser:
		err = a.deleteUser(ctx, userRef{orphan.Cluster, orphan.Name}, orphan.ID)
	default:
		err = a.deleteSecret(ctx, *orphan)
	}
	if errors.Is(err, cephclient.ErrInUse) {
		return err.Error(), nil
	}
	return "", err
}

// orphanNow returns nil for what is none any more.
func (a *Audit) orphanNow(ctx context.Context, id identity) (*Finding, error) {
	find := func() *Finding {
		for _, finding := range compare(a.state) {
			if finding.identity() == id {
				return &finding
			}
		}
		return nil
	}
	if seen := find(); seen != nil && seen.found != nil {
		if err := a.lookAgain(ctx, seen.found); err != nil {
			return nil, err
		}
	}
	if time.Since(a.readAt) > freshFor {
		if err := a.read(ctx); err != nil {
			return nil, err
		}
	}
	return find(), nil
}

// mayDelete returns what speaks against deleting an orphan. Everything here must be a
// reason to keep it: the audit has told that it is one.
func (s *state) mayDelete(orphan Finding, grace time.Duration, now time.Time) (refusal string) {
	f := orphan.found
	if orphan.Owner == nil || orphan.Owner.Installation != s.installation {
		return "it does not carry the mark of this installation"
	}
	slack := time.Duration(0)
	if f != nil {
		slack = f.Slack
	}
	latest := orphan.CreatedAt
	if orphan.ModifiedAt.After(latest) {
		latest = orphan.ModifiedAt
	}
	switch {
	case orphan.CreatedAt.IsZero():
		return "it is not known how old it is"
	case grace > 0 && now.Sub(latest) < grace:
		return fmt.Sprintf("it was made or changed at %s, less than the grace period of %s ago", latest.UTC().Format(time.RFC3339), grace)
	case grace > 0 && now.Sub(latest) < grace+slack:
		return fmt.Sprintf("it was made or changed at %s in the time zone of Ceph's mgr, which may be less than the grace period of %s ago", latest.UTC().Format(time.DateTime), grace)
	case f != nil && f.Watchers > 0:
		return fmt.Sprintf("%d clients have it open or mapped", f.Watchers)
	case f != nil && f.Snapshots > 0:
		return fmt.Sprintf("it has %d snapshots", f.Snapshots)
	case f == nil && s.hasVolume(*orphan.Owner):
		return "its volume is still there"
	case orphan.Kind == OrphanUser && !s.isExamined(orphan.Cluster, orphan.ID):
		return "it could not be seen what is at " + orphan.ID
	case orphan.Kind == OrphanSecret && s.hasUser(*orphan.Owner):
		return "its user is still there, or could not be asked for"
	}
	return ""
}

// isExamined reports whether all volumes at or above a path of CephFS would have been seen.
func (s *state) isExamined(cluster, path string) bool {
	for at, examined := range s.examined {
		above := strings.TrimSuffix(at.place.Path(), "/") + "/"
		if examined && at.cluster == cluster && at.place.Kind == cephclient.CephFS && strings.HasPrefix(path, above) {
			return true
		}
	}
	return false
}

func (s *state) hasVolume(owner cephclient.Owner) bool {
	for _, f := range s.found {
		if f.marked && f.owner.ClaimUID == owner.ClaimUID {
			return true
		}
	}
	return false
}

// hasUser reports whether a secret may be the last that leads to a user.
func (s *state) hasUser(owner cephclient.Owner) bool {
	for ref, each := range s.suspects {
		if path, asked := s.users[ref]; each.owner.ClaimUID == owner.ClaimUID && (!asked || path != "") {
			return true
		}
	}
	return false
}

func (a *Audit) deleteVolume(ctx context.Context, f *found) error {
	_, err := within(ctx, a.Timeout, func(ctx context.Context) (struct{}, error) {
		backend, err := a.Access.Backend(ctx, f.Kind, f.by.cluster, f.by.identity)
		if err == nil {
			volume := f.Volume
			volume.Mark = f.Owner
			err = backend.Delete(ctx, volume)
		}
		return struct{}{}, err
	})
	if err == nil {
		delete(a.state.found, keyOf(f.site.cluster, f.Volume))
	}
	return err
}

func (a *Audit) deleteUser(ctx context.Context, ref userRef, path string) (err error) {
	for _, by := range a.ways.askers(ref.cluster) {
		_, err = within(ctx, a.Timeout, func(ctx context.Context) (struct{}, error) {
			users, err := a.Access.Users(ctx, by.cluster, by.identity)
			if err == nil {
				err = users.Delete(ctx, ref.id, path)
			}
			return struct{}{}, err
		})
		if err == nil {
			a.state.users[ref] = ""
			return nil
		}
	}
	return err
}

func (a *Audit) deleteSecret(ctx context.Context, orphan Finding) error {
	err := a.Secrets.DeleteSecret(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: orphan.secret.Namespace, Name: orphan.secret.Name, UID: types.UID(orphan.ID),
	}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete secret %s: %w", orphan.secret, err)
	}
	delete(a.state.secrets, orphan.secret)
	return nil
}
