package goceph

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/ceph/go-ceph/cephfs/admin"
	"github.com/ceph/go-ceph/common/commands"

	"ceph.example/ceph-provisioner/cephclient"
)

// mgrInfo is what the mgr tells of a subvolume.
type mgrInfo struct {
	admin.SubVolumeInfo
	quotaBytes int64 // cephclient.Unlimited where there is none
}

// subvolumeInfo is similar to: ceph fs subvolume info.
func subvolumeInfo(conn commands.RadosCommander, volume cephclient.Volume) (mgrInfo, error) {
	heard := &overheard{RadosCommander: conn}
	info, err := admin.NewFromConn(heard).SubVolumeInfo(volume.Container, volume.Group, volume.Name)
	if err != nil {
		return mgrInfo{}, err
	}
	found := mgrInfo{SubVolumeInfo: *info, quotaBytes: cephclient.Unlimited}
	if _, limited := info.BytesQuota.(admin.ByteCount); limited {
		found.quotaBytes, err = exactQuota(heard.answer)
	}
	if info.BytesUsed > math.MaxInt64 {
		err = fmt.Errorf("the mgr tells that %d bytes are used", info.BytesUsed)
	}
	return found, err
}

// exactQuota reads what go-ceph takes for a float64, which is not exact above 8 PiB.
func exactQuota(answer []byte) (int64, error) {
	var exact struct {
		QuotaBytes int64 `json:"bytes_quota"`
	}
	if err := json.Unmarshal(answer, &exact); err != nil {
		return 0, fmt.Errorf("the quota that the mgr tells can't be read: %w", err)
	}
	if exact.QuotaBytes < 0 {
		return 0, fmt.Errorf("the mgr tells a quota of %d bytes", exact.QuotaBytes)
	}
	return exact.QuotaBytes, nil
}

// wantPath refuses a path that a PersistentVolume could not be followed by.
func (info mgrInfo) wantPath(volume cephclient.Volume) error {
	if _, _, ok := inGroup(volume, info.Path); !ok {
		return fmt.Errorf("the mgr names the path %q for it, state %q", info.Path, info.State)
	}
	return nil
}

// overheard keeps the mgr's answer.
type overheard struct {
	commands.RadosCommander
	answer []byte
}

func (o *overheard) MgrCommand(command [][]byte) (answer []byte, status string, err error) {
	answer, status, err = o.RadosCommander.MgrCommand(command)
	o.answer = answer
	return answer, status, err
}
