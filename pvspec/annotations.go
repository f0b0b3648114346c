package pvspec

// Annotations on PersistentVolumes: what deletion and growth need when the
// StorageClass is gone. None holds a key.
const (
	annotationAdminID              = "ceph.example/admin-id"
	annotationAdminSecretName      = "ceph.example/admin-secret-name"
	annotationAdminSecretNamespace = "ceph.example/admin-secret-namespace"
	annotationBackend              = "ceph.example/backend"
	annotationFileSystem           = "ceph.example/file-system"
	annotationSubvolumeGroup       = "ceph.example/subvolume-group"
	annotationSubvolume            = "ceph.example/subvolume"
	annotationClaimRoot            = "ceph.example/claim-root"
)

// annotationShare is what ceph.com/cephfs wrote on its volumes: the directory's name.
const annotationShare = "cephShare"

// Values of annotationBackend.
const (
	backendRBD       = "rbd"
	backendSubvolume = "subvolume"
	backendDirectory = "directory"
)

// Annotations of Kubernetes (k8s.io/component-helpers/storage/volume).
const (
	annotationProvisionedBy = "pv.kubernetes.io/provisioned-by"
	annotationMigratedTo    = "pv.kubernetes.io/migrated-to"
)
