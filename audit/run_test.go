package audit

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/cephclient/fake"
	"ceph.example/ceph-provisioner/pvspec"
)

// world is the API server and a Ceph cluster at 10.0.0.1. What has another address does
// not answer.
type world struct {
	classes []storagev1.StorageClass
	volumes []corev1.PersistentVolume
	claims  []corev1.PersistentVolumeClaim
	images  map[string]cephclient.Found
	denied  []string // identities that may not list
	listed  func()   // what happens after Ceph was listed
	looks   map[string]int
	vanish  string // gone when it is looked at again
}

func (w *world) Classes(context.Context) ([]storagev1.StorageClass, error) { return w.classes, nil }

func (w *world) Volumes(_ context.Context, each func(*corev1.PersistentVolume)) error {
	for i := range w.volumes {
		each(&w.volumes[i])
	}
	return nil
}

func (w *world) Claims(_ context.Context, each func(*corev1.PersistentVolumeClaim)) error {
	for i := range w.claims {
		each(&w.claims[i])
	}
	return nil
}

func (w *world) Secrets(context.Context, string) ([]metav1.ObjectMeta, error) {
	return nil, apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "", nil)
}

func (w *world) Secret(_ context.Context, ref pvspec.SecretRef) (metav1.ObjectMeta, error) {
	return metav1.ObjectMeta{}, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, ref.Name)
}

func (w *world) Cluster(_ context.Context, monitors []string) (cephclient.Cluster, error) {
	return cephclient.Cluster{Monitors: monitors}, nil
}

func (w *world) Inventory(_ context.Context, cluster cephclient.Cluster, identity pvspec.Identity) (cephclient.Inventory, error) {
	if cluster.Monitors[0] != "10.0.0.1:6789" {
		return nil, cephclient.NewError(cephclient.ErrUnreachable, "connect", "", false)
	}
	return inventory{w, identity.ID}, nil
}

func (w *world) Backend(context.Context, cephclient.Kind, cephclient.Cluster, pvspec.Identity) (cephclient.Backend, error) {
	return &fake.Backend{}, nil
}

func (w *world) Users(context.Context, cephclient.Cluster, pvspec.Identity) (cephclient.Users, error) {
	return &fake.Users{}, nil
}

type inventory struct {
	*world
	id string
}

func (i inventory) Cluster(context.Context) (string, error) { return fsid, nil }

func (i inventory) Resolve(_ context.Context, place cephclient.Place) (cephclient.Place, error) {
	return place, nil
}

func (i inventory) List(_ context.Context, place cephclient.Place, _ func(string) bool) (volumes []cephclient.Volume, err error) {
	if slices.Contains(i.denied, i.id) {
		return nil, cephclient.NewError(cephclient.ErrDenied, "list as "+i.id, "", false)
	}
	for name := range i.images {
		volumes = append(volumes, cephclient.Volume{Kind: place.Kind, Container: place.Container, Name: name})
	}
	if i.listed != nil {
		defer i.listed()
	}
	return volumes, nil
}

func (i inventory) Look(_ context.Context, volume cephclient.Volume) (cephclient.Found, error) {
	i.looks[volume.Name]++
	seen, is := i.images[volume.Name]
	if !is || i.vanish == volume.Name && i.looks[volume.Name] > 1 {
		return seen, cephclient.NewError(cephclient.ErrNotFound, "look", "", false)
	}
	seen.Volume = volume
	return seen, nil
}

func class(name, monitors, admin string) storagev1.StorageClass {
	return storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: "ceph.example/rbd", Parameters: map[string]string{
		"monitors": monitors, "adminId": admin, "adminSecretName": "s", "userSecretName": "s",
	}}
}

func newWorld() *world {
	return &world{
		classes: []storagev1.StorageClass{class("rbd", "10.0.0.1", "a")},
		images:  map[string]cephclient.Found{image: {ID: "id", SizeBytes: size, Owner: ownerHere().String(), CreatedAt: longAgo}},
		looks:   map[string]int{},
	}
}

func (w *world) addVolume(monitors string) {
	w.volumes = append(w.volumes, corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: pvName, Annotations: map[string]string{
			"pv.kubernetes.io/provisioned-by": "ceph.example/rbd",
			"ceph.example/admin-id":           "a", "ceph.example/admin-secret-name": "s",
		}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:               corev1.ResourceList{corev1.ResourceStorage: *resource.NewQuantity(size, resource.BinarySI)},
			PersistentVolumeSource: corev1.PersistentVolumeSource{RBD: &corev1.RBDPersistentVolumeSource{CephMonitors: []string{monitors}, RBDPool: "rbd", RBDImage: image}},
		},
	})
}

func (w *world) addClaim() {
	w.claims = append(w.claims, corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "data", UID: types.UID(uid)}})
}

func TestRun(t *testing.T) {
	for state, test := range map[string]struct {
		make func(*world)
		want []string // kinds
	}{
		"an orphan":                                      {func(*world) {}, []string{"orphan-image"}},
		"its PersistentVolume is made meanwhile":         {func(w *world) { w.listed = func() { w.addVolume("10.0.0.1:6789") } }, nil},
		"its claim is there":                             {func(w *world) { w.addClaim() }, nil},
		"it is deleted meanwhile":                        {func(w *world) { w.vanish = image }, nil},
		"the class is gone, its PersistentVolume is not": {func(w *world) { w.classes = nil; w.addVolume("10.0.0.1:6789") }, nil},
		"the image of a PersistentVolume is gone":        {func(w *world) { clear(w.images); w.addVolume("10.0.0.1:6789") }, []string{"missing-volume"}},
		"it was made after Ceph was listed": {func(w *world) {
			images := w.images
			w.images = map[string]cephclient.Found{}
			w.listed = func() { w.images = images; w.addVolume("10.0.0.1:6789") }
		}, nil},
		"another cluster does not answer":           {func(w *world) { w.classes = append(w.classes, class("other", "10.0.0.2", "a")) }, []string{"not-examined", "orphan-image"}},
		"its PersistentVolume says another monitor": {func(w *world) { w.addVolume("10.0.0.2:6789") }, []string{"not-examined"}},
		"another class is wrong":                    {func(w *world) { w.classes = append(w.classes, class("other", "", "a")) }, []string{"not-examined", "orphan-image"}},
		"another identity may list": {func(w *world) {
			w.denied = []string{"a"}
			w.classes = append(w.classes, class("other", "10.0.0.1", "b"))
		}, []string{"orphan-image"}},
		"no identity may list":                            {func(w *world) { w.denied = []string{"a"} }, []string{"not-examined"}},
		"no identity may list, with a PersistentVolume":   {func(w *world) { w.denied = []string{"a"}; w.addVolume("10.0.0.1:6789") }, []string{"not-examined"}},
		"another provisioner's class says the same place": {func(w *world) { w.classes[0].Provisioner = "other"; clear(w.images) }, nil},
	} {
		t.Run(state, func(t *testing.T) {
			w := newWorld()
			test.make(w)
			a := New(Options{Access: w, Kubernetes: w, Installation: here, Provisioners: map[string]cephclient.Kind{"ceph.example/rbd": cephclient.RBD}, Timeout: time.Minute})
			report, err := a.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var kinds []string
			for _, finding := range report.Findings {
				kinds = append(kinds, string(finding.Kind))
			}
			if !slices.Equal(kinds, test.want) || report.Summary.Complete == slices.Contains(kinds, "not-examined") {
				t.Errorf("found %v, want %v", report.Findings, test.want)
			}
		})
	}
}

// What has a reason to be kept by the time of its deletion is kept.
func TestDeleteOrphansLooksAgain(t *testing.T) {
	for state, test := range map[string]struct {
		change func(*world, *Report)
		want   string
	}{
		"still an orphan": {func(*world, *Report) {}, "deleted  orphan-image " + image},
		"watched by now": {func(w *world, _ *Report) {
			w.images[image] = cephclient.Found{ID: "id", Owner: ownerHere().String(), CreatedAt: longAgo, Watchers: 1}
		}, "kept     orphan-image " + image + " (pool rbd): 1 clients"},
		"made anew by now": {func(w *world, _ *Report) {
			w.images[image] = cephclient.Found{ID: "anew", Owner: ownerHere().String(), CreatedAt: longAgo}
		}, "no orphan any more"},
		"another thing on the list": {func(_ *world, list *Report) { list.Findings[0].ID = "before" }, "no orphan any more"},
		"no orphan on the list":     {func(_ *world, list *Report) { list.Findings[0].Kind = Unmarked }, "only orphans"},
	} {
		t.Run(state, func(t *testing.T) {
			w := newWorld()
			a := New(Options{Access: w, Kubernetes: w, Installation: here, Provisioners: map[string]cephclient.Kind{"ceph.example/rbd": cephclient.RBD}, Timeout: time.Minute})
			report, err := a.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			list := report
			list.Findings = slices.Clone(report.Findings)
			test.change(w, &list)
			var told strings.Builder
			left, failed, err := a.DeleteOrphans(t.Context(), list, report, time.Hour, &told)
			if err != nil || failed > 0 || !strings.Contains(told.String(), test.want) {
				t.Errorf("told %q (%d, %v), want %q", told.String(), failed, err, test.want)
			}
			if deleted := strings.HasPrefix(told.String(), "deleted"); deleted != (left.Summary.Problems == 0) && w.images[image].ID == "id" {
				t.Errorf("%d problems are left", left.Summary.Problems)
			}
		})
	}
}
