// Package pvspec translates between Kubernetes objects and what package
// cephclient understands: a StorageClass and a claim become a request, a
// request and its result become a PersistentVolume, and a PersistentVolume
// leads back to its volume, cluster and secret. Everything here is a pure
// function of its arguments; nothing is read from a cluster.
package pvspec
