package goceph

// #include <malloc.h>
//
// // By default malloc has eight arenas for each processor, and keeps in each what was once in
// // use there (mallopt(3)). Two are enough for what Ceph's libraries allocate here. It is told
// // before main: otherwise each of the Go runtime's first threads has made one of its own.
// __attribute__((constructor)) static void bound_malloc(void) { mallopt(M_ARENA_MAX, 2); }
import "C"
