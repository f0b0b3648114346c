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

// patchClaimStatus writes what change does to the status of the run's claim, and
// nothing else. It fails with a conflict if the claim is no longer as it was read.
func (r *Resizer) patchClaimStatus(ctx context.Context, run *run, change func(*corev1.PersistentVolumeClaim)) error {
	changed := run.claim.DeepCopy()
	change(changed)
	patch, err := minimalPatch(run.claim, changed, run.claim.ResourceVersion)
	if err != nil || patch == nil {
		return err
	}
	claims := r.client.CoreV1().PersistentVolumeClaims(run.claim.Namespace)
	written, err := claims.Patch(ctx, run.claim.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("write the state of the growth to the claim: %w", err)
	}
	run.claim, run.live = written, true
	return nil
}

// patchVolume is the same for the run's PersistentVolume.
func (r *Resizer) patchVolume(ctx context.Context, run *run, change func(*corev1.PersistentVolume)) error {
	changed := run.pv.DeepCopy()
	change(changed)
	patch, err := minimalPatch(run.pv, changed, run.pv.ResourceVersion)
	if err != nil || patch == nil {
		return err
	}
	written, err := r.client.CoreV1().PersistentVolumes().Patch(ctx, run.pv.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("write the new size to PersistentVolume %s: %w", run.pv.Name, err)
	}
	run.pv = written
	return nil
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
