package resizer

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// patchClaimStatus writes what change does to a claim's status, and nothing
// else. It fails with a conflict if the claim is no longer as it was read.
func (r *Resizer) patchClaimStatus(ctx context.Context, claim *corev1.PersistentVolumeClaim, change func(*corev1.PersistentVolumeClaim)) (*corev1.PersistentVolumeClaim, error) {
	changed := claim.DeepCopy()
	change(changed)
	patch, err := minimalPatch(claim, changed, claim.ResourceVersion)
	if err != nil || patch == nil {
		return claim, err
	}
	claims := r.client.CoreV1().PersistentVolumeClaims(claim.Namespace)
	return claims.Patch(ctx, claim.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
}

// patchVolume is the same for a PersistentVolume.
func (r *Resizer) patchVolume(ctx context.Context, pv *corev1.PersistentVolume, change func(*corev1.PersistentVolume)) (*corev1.PersistentVolume, error) {
	changed := pv.DeepCopy()
	change(changed)
	patch, err := minimalPatch(pv, changed, pv.ResourceVersion)
	if err != nil || patch == nil {
		return pv, err
	}
	return r.client.CoreV1().PersistentVolumes().Patch(ctx, pv.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
}

// minimalPatch holds only what differs, so that fields which this client-go does
// not know survive, and the resource version; nil if nothing differs.
func minimalPatch[T any](before, after *T, resourceVersion string) ([]byte, error) {
	old, err := json.Marshal(before)
	if err != nil {
		return nil, err
	}
	changed, err := json.Marshal(after)
	if err != nil {
		return nil, err
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(old, changed, before)
	if err != nil {
		return nil, fmt.Errorf("make a patch: %w", err)
	}
	if string(patch) == "{}" {
		return nil, nil
	}
	fields := map[string]any{}
	if err := json.Unmarshal(patch, &fields); err != nil {
		return nil, err
	}
	metadata, ok := fields["metadata"].(map[string]any)
	if !ok {
		metadata = map[string]any{}
		fields["metadata"] = metadata
	}
	metadata["resourceVersion"] = resourceVersion
	return json.Marshal(fields)
}
