package provisioner

import "k8s.io/client-go/tools/cache"

// Watched returns an informer for sig-storage-lib to whose store only the watch adds. The
// library adds the PersistentVolumes that it has sent, without UID, when the watch may have
// told more of them already: one that was Released since would not be known to be, until the
// next resync, and who shares the informer would take it for another.
func Watched(informer cache.SharedIndexInformer) cache.SharedIndexInformer {
	return watchedInformer{informer}
}

type watchedInformer struct{ cache.SharedIndexInformer }

// GetStore implements [cache.SharedInformer].
func (w watchedInformer) GetStore() cache.Store {
	return watchedStore{w.SharedIndexInformer.GetStore()}
}

type watchedStore struct{ cache.Store }

// Add implements [cache.Store].
func (watchedStore) Add(any) error { return nil }
