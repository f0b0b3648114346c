package resizer

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ceph.example/ceph-provisioner/pvspec"
)

var provisioners = []string{"ceph.example/rbd", "ceph.example/cephfs"}

func sizes(size string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}
}

// pair is a claim that asks for requested, has status, and is bound to a volume
// of the given capacity.
func pair(requested, status, volume string) (*corev1.PersistentVolumeClaim, *corev1.PersistentVolume) {
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "data", UID: "1-2-3", ResourceVersion: "7"},
		Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: "pvc-1", Resources: corev1.VolumeResourceRequirements{Requests: sizes(requested)}},
		Status:     corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, Capacity: sizes(status)},
	}
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pvc-1", ResourceVersion: "8", Annotations: map[string]string{
			"pv.kubernetes.io/provisioned-by":     "ceph.example/rbd",
			"ceph.example/admin-id":               "kube",
			"ceph.example/admin-secret-name":      "secret",
			"ceph.example/admin-secret-namespace": "kube-system",
		}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: sizes(volume),
			ClaimRef: &corev1.ObjectReference{Namespace: "ns", Name: "data", UID: "1-2-3"},
			PersistentVolumeSource: corev1.PersistentVolumeSource{RBD: &corev1.RBDPersistentVolumeSource{
				CephMonitors: []string{"10.0.0.1:6789"}, RBDPool: "rbd", RBDImage: "x",
			}},
		},
	}
	return claim, pv
}

type change func(*corev1.PersistentVolumeClaim, *corev1.PersistentVolume)

func block(claim *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) {
	mode := corev1.PersistentVolumeBlock
	claim.Spec.VolumeMode = &mode
}

func cephfs(_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) {
	pv.Spec.PersistentVolumeSource = corev1.PersistentVolumeSource{CephFS: &corev1.CephFSPersistentVolumeSource{
		Monitors: []string{"10.0.0.1:6789"}, Path: "/volumes/kubernetes/x/uuid",
	}}
	pv.Annotations["pv.kubernetes.io/provisioned-by"] = "ceph.example/cephfs"
	pv.Annotations["ceph.example/file-system"] = "cephfs"
	pv.Annotations["ceph.example/subvolume-group"] = "kubernetes"
	pv.Annotations["ceph.example/subvolume"] = "x"
}

func nodePending(claim *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) {
	markNodePending(claim)
}

func begun(claim *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) {
	markBegun(claim, capacity(claim.Spec.Resources.Requests))
}

func resizing(claim *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) {
	markFailed(claim, "the secret does not exist", true)
}

func postponed(size string) change {
	return func(_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) {
		pvspec.Postpone(pv, resource.MustParse(size), time.Now())
	}
}

func changes(all ...change) change {
	return func(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) {
		for _, each := range all {
			each(claim, pv)
		}
	}
}

func class(allow bool) *storagev1.StorageClass {
	return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "ceph", ResourceVersion: "1"}, AllowVolumeExpansion: &allow}
}

func TestDecide(t *testing.T) {
	afterwards := func(size string, use use) observation {
		quantity := resource.MustParse(size)
		return observation{begun: true, size: &quantity, use: use}
	}
	var (
		nothingKnown observation
		isBegun      = observation{begun: true}
	)
	for state, c := range map[string]struct {
		requested, status, volume string
		change                    change
		seen                      observation
		want                      step
	}{
		"nothing asked":                          {"1Gi", "1Gi", "1Gi", nil, nothingKnown, stepNothing},
		"claim > volume":                         {"2Gi", "1Gi", "1Gi", nil, nothingKnown, stepBegin},
		"claim > volume, by less than a unit":    {"1025Mi", "1Gi", "1Gi", nil, nothingKnown, stepBegin},
		"claim > volume, begun by this run":      {"2Gi", "1Gi", "1Gi", begun, isBegun, stepGrow},
		"claim > volume, begun by another run":   {"2Gi", "1Gi", "1Gi", begun, nothingKnown, stepBegin},
		"claim < volume: never a shrink":         {"1Gi", "2Gi", "2Gi", nil, nothingKnown, stepNothing},
		"given up: marks of a growth are left":   {"1Gi", "1Gi", "1Gi", begun, nothingKnown, stepGrow},
		"given up: Ceph has said the size":       {"1Gi", "1Gi", "1Gi", begun, afterwards("1Gi", useUnknown), stepFinish},
		"edited while Ceph grew it":              {"3Gi", "1Gi", "1Gi", begun, afterwards("2Gi", useUnknown), stepGrow},
		"volume larger than the claim's status":  {"1Gi", "1Gi", "3Gi", nil, nothingKnown, stepGrow},
		"volume smaller than the claim's status": {"1Gi", "2Gi", "1Gi", nil, nothingKnown, stepGrow},
		"volume says more than Ceph":             {"1Gi", "1Gi", "3Gi", nil, afterwards("2Gi", useUnknown), stepVolume},

		"file system: Ceph has grown it":              {"2Gi", "1Gi", "1Gi", begun, afterwards("2Gi", useUnknown), stepVolume},
		"file system: the volume has grown":           {"2Gi", "1Gi", "2Gi", begun, afterwards("2Gi", useUnknown), stepPending},
		"file system: somebody else raised it":        {"2Gi", "1Gi", "2Gi", nil, nothingKnown, stepBegin},
		"file system: the kubelet is told":            {"2Gi", "1Gi", "2Gi", nodePending, nothingKnown, stepNothing},
		"file system: told just now":                  {"2Gi", "1Gi", "2Gi", nodePending, afterwards("2Gi", useUnknown), stepNothing},
		"file system: the kubelet has grown it":       {"2Gi", "2Gi", "2Gi", nil, nothingKnown, stepNothing},
		"file system: edited while the kubelet works": {"3Gi", "1Gi", "2Gi", nodePending, nothingKnown, stepBegin},
		"file system: given up after a failure":       {"1536Mi", "1Gi", "2Gi", changes(nodePending, resizing), nothingKnown, stepBegin},
		"file system: given up, Ceph agrees":          {"1536Mi", "1Gi", "2Gi", changes(nodePending, resizing), afterwards("2Gi", useUnknown), stepPending},
		"file system: larger than its image":          {"1Gi", "3Gi", "1Gi", nil, afterwards("1Gi", useUnknown), stepFinish},
		"file system: a mark that nobody clears":      {"2Gi", "2Gi", "2Gi", nodePending, afterwards("2Gi", useUnknown), stepFinish},

		"block: Ceph has grown it":                {"2Gi", "1Gi", "1Gi", changes(block, begun), afterwards("2Gi", useUnknown), stepVolume},
		"block: the volume has grown":             {"2Gi", "1Gi", "2Gi", changes(block, begun), afterwards("2Gi", useUnknown), stepFinish},
		"block: finished by the other, unrounded": {"1500M", "1500M", "1431Mi", block, nothingKnown, stepGrow},

		"CephFS, claim > volume":                       {"2Gi", "1Gi", "1Gi", cephfs, nothingKnown, stepBegin},
		"CephFS: the quota has grown":                  {"2Gi", "1Gi", "1Gi", changes(cephfs, begun), afterwards("2Gi", useUnknown), stepFinish},
		"CephFS: the claim has grown":                  {"2Gi", "2Gi", "1Gi", cephfs, afterwards("2Gi", useUnknown), stepLook},
		"CephFS: the claim has grown, no pod":          {"2Gi", "2Gi", "1Gi", cephfs, afterwards("2Gi", useNone), stepVolume},
		"CephFS: the claim has grown, a pod":           {"2Gi", "2Gi", "1Gi", cephfs, afterwards("2Gi", useSome), stepPostpone},
		"CephFS: put off":                              {"2Gi", "2Gi", "1Gi", changes(cephfs, postponed("2Gi")), afterwards("2Gi", useSome), stepNothing},
		"CephFS: put off to another size":              {"3Gi", "3Gi", "1Gi", changes(cephfs, postponed("2Gi")), afterwards("3Gi", useSome), stepPostpone},
		"CephFS: put off, looked at later":             {"2Gi", "2Gi", "1Gi", changes(cephfs, postponed("2Gi")), nothingKnown, stepLook},
		"CephFS: put off, a pod still":                 {"2Gi", "2Gi", "1Gi", changes(cephfs, postponed("2Gi")), observation{use: useSome}, stepNothing},
		"CephFS: put off, no pod any more":             {"2Gi", "2Gi", "1Gi", changes(cephfs, postponed("2Gi")), observation{use: useNone}, stepGrow},
		"CephFS: put off, raised by hand":              {"2Gi", "2Gi", "2Gi", changes(cephfs, postponed("2Gi")), nothingKnown, stepGrow},
		"CephFS: put off, raised by hand, Ceph agrees": {"2Gi", "2Gi", "2Gi", changes(cephfs, postponed("2Gi")), afterwards("2Gi", useUnknown), stepVolume},
		"CephFS: given up, Ceph has said the size":     {"1Gi", "1Gi", "1Gi", changes(cephfs, begun), afterwards("1Gi", useUnknown), stepFinish},
		"CephFS: uncertain, then less asked for":       {"2Gi", "1Gi", "1Gi", changes(cephfs, uncertain("3Gi")), afterwards("2Gi", useUnknown), stepGrow},

		"claim is being deleted": {"2Gi", "1Gi", "1Gi", func(c *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) {
			c.DeletionTimestamp = &metav1.Time{}
		}, nothingKnown, stepNothing},
		"volume is being deleted": {"2Gi", "1Gi", "1Gi", func(_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) {
			pv.DeletionTimestamp = &metav1.Time{}
		}, nothingKnown, stepNothing},
		"claim was made again under the same name": {"2Gi", "1Gi", "1Gi", func(c *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) { c.UID = "4-5-6" }, nothingKnown, stepNothing},
		"claim names another volume":               {"2Gi", "1Gi", "1Gi", func(c *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) { c.Spec.VolumeName = "pvc-2" }, nothingKnown, stepNothing},
		"claim is lost":                            {"2Gi", "1Gi", "1Gi", func(c *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) { c.Status.Phase = corev1.ClaimLost }, nothingKnown, stepNothing},
		"volume is bound to nobody":                {"2Gi", "1Gi", "1Gi", func(_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) { pv.Spec.ClaimRef = nil }, nothingKnown, stepNothing},
		"volume of another provisioner": {"2Gi", "1Gi", "1Gi", func(_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) {
			pv.Annotations["pv.kubernetes.io/provisioned-by"] = "kubernetes.io/rbd"
		}, nothingKnown, stepNothing},
		"volume is CSI's by migration": {"2Gi", "1Gi", "1Gi", func(_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) {
			pv.Annotations["pv.kubernetes.io/migrated-to"] = "rbd.csi.ceph.com"
		}, nothingKnown, stepNothing},
	} {
		t.Run(state, func(t *testing.T) {
			claim, pv := pair(c.requested, c.status, c.volume)
			if c.change != nil {
				c.change(claim, pv)
			}
			if got := decide(claim, pv, class(true), c.seen, Options{Provisioners: provisioners}); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// uncertain is a growth to size of which nobody knows the end.
func uncertain(size string) change {
	return func(claim *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) {
		markBegun(claim, resource.MustParse(size))
	}
}

func TestDecideByClass(t *testing.T) {
	claim, pv := pair("2Gi", "1Gi", "1Gi")
	for state, c := range map[string]struct {
		class *storagev1.StorageClass
		want  step
	}{
		"class allows growth": {class(true), stepBegin},
		"class forbids it":    {class(false), stepNothing},
		"class does not say":  {&storagev1.StorageClass{}, stepNothing},
		"class is gone":       {nil, stepBegin},
	} {
		if got := decide(claim, pv, c.class, observation{}, Options{Provisioners: provisioners}); got != c.want {
			t.Errorf("%s: got %q, want %q", state, got, c.want)
		}
	}
}

func TestDecideWithRaiseMounted(t *testing.T) {
	claim, pv := pair("2Gi", "2Gi", "1Gi")
	cephfs(claim, pv)
	size := resource.MustParse("2Gi")
	o := Options{Provisioners: provisioners, RaiseMounted: true}
	if got := decide(claim, pv, nil, observation{}, o); got != stepGrow {
		t.Errorf("before Ceph is asked: %q", got)
	}
	if got := decide(claim, pv, nil, observation{size: &size}, o); got != stepVolume {
		t.Errorf("after: %q", got)
	}
}
