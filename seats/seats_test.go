package seats

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

func TestAClusterHasItsOwnSeats(t *testing.T) {
	s := New(2)
	var leave []func()
	sit := func(cluster string) {
		t.Helper()
		left, err := s.take(t.Context(), cluster)
		if err != nil {
			t.Fatalf("no seat at cluster %s: %v", cluster, err)
		}
		leave = append(leave, left)
	}
	sit("hung")
	sit("hung")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.take(ended, "hung"); err == nil {
		t.Fatal("a third one has a seat")
	}
	sit("healthy")
	sit("healthy")
	for _, left := range leave {
		left()
	}
	if len(s.clusters) > 0 {
		t.Errorf("%d clusters are remembered that nobody is at", len(s.clusters))
	}
}

func TestNoMoreThanItsSeats(t *testing.T) {
	const number = 3
	s := New(number)
	var seated atomic.Int32
	var group sync.WaitGroup
	for range 50 {
		group.Add(1)
		go func() {
			defer group.Done()
			leave, err := s.take(t.Context(), "a")
			if err != nil {
				t.Error(err)
				return
			}
			if now := seated.Add(1); now > number {
				t.Errorf("%d have a seat", now)
			}
			runtime.Gosched()
			seated.Add(-1)
			leave()
		}()
	}
	group.Wait()
}

// The same cluster is the same one in all spellings of the parameter, and in volumes of
// either kind.
func TestWhoSitsTogether(t *testing.T) {
	s := New(1)
	taken := func(leave func(), err error) func() {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return leave
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	rbd := &corev1.PersistentVolume{}
	rbd.Spec.RBD = &corev1.RBDPersistentVolumeSource{CephMonitors: []string{"10.0.0.1:6789", "10.0.0.2:6789"}}
	cephfs := &corev1.PersistentVolume{}
	cephfs.Spec.CephFS = &corev1.CephFSPersistentVolumeSource{Monitors: rbd.Spec.RBD.CephMonitors}
	class := func(key string) *storagev1.StorageClass {
		return &storagev1.StorageClass{Parameters: map[string]string{"pool": "x", key: "10.0.0.1:6789,10.0.0.2:6789"}}
	}
	leave := taken(s.OfClass(t.Context(), class("monitors")))
	for name, take := range map[string]func() (func(), error){
		"class":         func() (func(), error) { return s.OfClass(ended, class("MONITORS")) },
		"RBD volume":    func() (func(), error) { return s.OfVolume(ended, rbd) },
		"CephFS volume": func() (func(), error) { return s.OfVolume(ended, cephfs) },
	} {
		if _, err := take(); err == nil {
			t.Errorf("the %s has another table", name)
		}
	}
	leave()
}
