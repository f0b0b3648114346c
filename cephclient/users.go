package cephclient

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Users are cephx users, each of which reaches one CephFS volume and nothing else.
// Every method is idempotent. Errors are of type [*Error].
type Users interface {
	// Find reports whether there is a user of that name.
	Find(ctx context.Context, id string) (found bool, err error)
	// Path returns the path that the user of that name may write at, or ErrNotFound. It
	// is empty for a user that has not exactly one.
	Path(ctx context.Context, id string) (path string, err error)
	// Ensure makes the user of a volume, or finds it, and returns its key. A user of
	// that name with other caps is refused with ErrExists.
	Ensure(ctx context.Context, id string, info Info) (Secret, error)
	// Delete removes the user of the volume at a path. An absent one is success; one
	// with other caps is refused with ErrExists.
	Delete(ctx context.Context, id, path string) error
}

// Caps are what a user may do, as `ceph auth` takes and shows them, by the kind of
// daemon: "mon", "mds", "osd".
type Caps map[string]string

// UserStore is what the policy for users needs of the monitors. Names are without
// "client.". Calls end by their context's deadline.
type UserStore interface {
	// GetOrCreate returns the key of a user, or ErrInvalid if there is one with
	// other caps.
	GetOrCreate(ctx context.Context, id string, caps Caps) (Secret, error)
	// Caps returns what a user may do, or ErrNotFound.
	Caps(ctx context.Context, id string) (Caps, error)
	// Remove removes a user; an absent one is success.
	Remove(ctx context.Context, id string) error
}

// NewUsers returns the users of a cluster.
func NewUsers(store UserStore) Users { return users{store} }

type users struct{ store UserStore }

func (u users) Find(ctx context.Context, id string) (bool, error) {
	_, err := u.store.Caps(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (u users) Path(ctx context.Context, id string) (string, error) {
	caps, err := u.store.Caps(ctx, id)
	if err != nil {
		return "", err
	}
	var paths []string
	for _, grant := range grants(caps["mds"]) {
		for word := range strings.FieldsSeq(grant) {
			if path, isPath := strings.CutPrefix(word, "path="); isPath {
				paths = append(paths, path)
			}
		}
	}
	if len(paths) != 1 {
		return "", nil
	}
	return paths[0], nil
}

func (u users) Ensure(ctx context.Context, id string, info Info) (Secret, error) {
	if info.DataPool == "" {
		return Secret{}, &Error{
			Cause: ErrInvalid, Op: "make client." + id, Detail: info.Volume.Path + " does not say which pool its data goes to",
			Remedy: "set it in a mount of the file system: setfattr -n ceph.dir.layout.pool -v POOL " + info.Volume.Path,
		}
	}
	if err := wantFit(id, info); err != nil {
		return Secret{}, err
	}
	caps := capsFor(info)
	key, err := u.store.GetOrCreate(ctx, id, caps)
	if !errors.Is(err, ErrInvalid) {
		return key, err
	}
	present, lookErr := u.store.Caps(ctx, id)
	if lookErr != nil {
		return Secret{}, err
	}
	return Secret{}, notOurs("make client."+id, present, fmt.Sprintf("they must be %v", caps))
}

func (u users) Delete(ctx context.Context, id, path string) error {
	caps, err := u.store.Caps(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case !isUserOf(path, caps):
		return notOurs("remove client."+id, caps, "they are not those of the volume at "+path)
	}
	return u.store.Remove(ctx, id)
}

func notOurs(op string, present Caps, problem string) error {
	return &Error{
		Cause: ErrExists, Op: op,
		Detail: fmt.Sprintf("its caps are %v; %s", present, problem),
		Remedy: "somebody has made or changed this user: remove it with `ceph auth rm` if nothing else needs it",
	}
}

var capsWord = regexp.MustCompile(`^[A-Za-z0-9_./-]+$`)

// FitsCaps reports whether a path or name can stand in caps as it is (unquoted_path and
// unquoted_word in Ceph's MDSAuthCaps.cc and OSDCap.cc).
func FitsCaps(word string) bool { return capsWord.MatchString(word) }

// wantFit refuses what would say something else in caps than where a volume is.
func wantFit(id string, info Info) error {
	words := []string{info.Volume.Path, info.DataPool}
	if info.Namespace != "" {
		words = append(words, info.Namespace)
	}
	if info.OtherFileSystems {
		words = append(words, info.Volume.Container)
	}
	for _, word := range words {
		if !FitsCaps(word) {
			return &Error{
				Cause: ErrInvalid, Op: "make client." + id, Detail: fmt.Sprintf("%q can't stand in caps", word),
				Remedy: "give it a name of letters, digits, and _ . -, or the StorageClass a userId and userSecretName",
			}
		}
	}
	return nil
}

// grants are those of a daemon's caps. Ceph takes either sign between them.
func grants(caps string) []string {
	return strings.FieldsFunc(caps, func(r rune) bool { return r == ',' || r == ';' })
}

// capsFor reach the path and the data of one volume. Writing needs no right to set
// quotas ("p"), which a pod could lift its own with.
func capsFor(info Info) Caps {
	mds := "allow rw path=" + info.Volume.Path
	if info.OtherFileSystems { // releases that have but one do not know fsname
		mds = "allow rw fsname=" + info.Volume.Container + " path=" + info.Volume.Path
	}
	osd := "allow rw pool=" + info.DataPool
	if info.Namespace != "" {
		osd += " namespace=" + info.Namespace
	}
	return Caps{"mon": "allow r", "mds": mds, "osd": osd}
}

// isUserOf reports whether caps let a user write at one path, and nowhere else.
// ceph.com/cephfs gave "allow r" to all of the tree besides, and its first versions
// left users behind that had nothing but that.
func isUserOf(path string, caps Caps) bool {
	reaches := false
	for _, grant := range grants(caps["mds"]) {
		words := strings.Fields(grant)
		switch {
		case len(words) == 0, slices.Equal(words, []string{"allow", "r"}):
		case slices.Contains(words, "path="+path):
			reaches = true
		default:
			return false
		}
	}
	return reaches || caps["osd"] == ""
}
