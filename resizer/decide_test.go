package resizer

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

func TestDecide(t *testing.T) {
	for state, c := range map[string]struct {
		requested, status, volume string
		change                    change
		want                      step
	}{
		"nothing asked":                             {"1Gi", "1Gi", "1Gi", nil, stepNothing},
		"claim > volume":                            {"2Gi", "1Gi", "1Gi", nil, stepGrow},
		"claim > volume, by less than a unit":       {"1025Mi", "1Gi", "1Gi", nil, stepGrow},
		"claim < volume: never a shrink":            {"1Gi", "2Gi", "2Gi", nil, stepNothing},
		"volume has grown, file system on an image": {"2Gi", "1Gi", "2Gi", nil, stepNodePending},
		"volume has grown, the kubelet knows":       {"2Gi", "1Gi", "2Gi", nodePending, stepNothing},
		"volume has grown, block":                   {"2Gi", "1Gi", "2Gi", block, stepFinish},
		"volume has grown, CephFS":                  {"2Gi", "1Gi", "2Gi", cephfs, stepFinish},
		"second edit while the kubelet works":       {"3Gi", "1Gi", "2Gi", nodePending, stepGrow},
		"CephFS, claim > volume":                    {"2Gi", "1Gi", "1Gi", cephfs, stepGrow},
		"claim is being deleted": {"2Gi", "1Gi", "1Gi", func(c *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) {
			c.DeletionTimestamp = &metav1.Time{}
		}, stepNothing},
		"claim was made again under the same name": {"2Gi", "1Gi", "1Gi", func(c *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) { c.UID = "4-5-6" }, stepNothing},
		"claim names another volume":               {"2Gi", "1Gi", "1Gi", func(c *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) { c.Spec.VolumeName = "pvc-2" }, stepNothing},
		"claim is lost":                            {"2Gi", "1Gi", "1Gi", func(c *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) { c.Status.Phase = corev1.ClaimLost }, stepNothing},
		"volume is bound to nobody":                {"2Gi", "1Gi", "1Gi", func(_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) { pv.Spec.ClaimRef = nil }, stepNothing},
		"volume of another provisioner": {"2Gi", "1Gi", "1Gi", func(_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) {
			pv.Annotations["pv.kubernetes.io/provisioned-by"] = "kubernetes.io/rbd"
		}, stepNothing},
		"volume is CSI's by migration": {"2Gi", "1Gi", "1Gi", func(_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) {
			pv.Annotations["pv.kubernetes.io/migrated-to"] = "rbd.csi.ceph.com"
		}, stepNothing},
	} {
		t.Run(state, func(t *testing.T) {
			claim, pv := pair(c.requested, c.status, c.volume)
			if c.change != nil {
				c.change(claim, pv)
			}
			if got := decide(claim, pv, provisioners); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
