// Preloaded, this ends a process before one of its writes to RADOS, as a crash would: most
// changes to an image are several, which librbd makes. KILL_BEFORE_RADOS_WRITE says before
// which: 1 is the first. Each is told of on stderr.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// Arguments of librados's functions: each is a pointer or an integer.
typedef uintptr_t word;
typedef int function(word, word, word, word, word, word, word);

static void before(const char *object) {
	static atomic_long passed;
	long number = atomic_fetch_add(&passed, 1) + 1;
	fprintf(stderr, "RADOS write %ld: %s\n", number, object);
	const char *last = getenv("KILL_BEFORE_RADOS_WRITE");
	if (last != NULL && atol(last) == number) {
		kill(getpid(), SIGKILL);
		pause();
	}
}

static function *next(const char *symbol) {
	function *found = (function *)dlsym(RTLD_NEXT, symbol);
	if (found == NULL) {
		fprintf(stderr, "librados has no %s\n", symbol);
		abort();
	}
	return found;
}

#define WRITE(name, symbol, object)                                                  \
	int name(word a, word b, word c, word d, word e, word f, word g) __asm__(symbol); \
	int name(word a, word b, word c, word d, word e, word f, word g) {                \
		before((const char *)(object));                                               \
		return next(symbol)(a, b, c, d, e, f, g);                                     \
	}

// The methods of C++, which librbd calls. The first word of libstdc++'s string leads to
// its characters.
#define METHOD(name, symbol) WRITE(name, symbol, *(word *)b)
#define IOCTX "_ZN8librados7v14_2_05IoCtx"
#define OBJECT "ERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"

METHOD(operate, IOCTX "7operate" OBJECT "PNS0_20ObjectWriteOperationE")
METHOD(aio_operate, IOCTX "11aio_operate" OBJECT "PNS0_13AioCompletionEPNS0_20ObjectWriteOperationE")
METHOD(aio_remove, IOCTX "10aio_remove" OBJECT "PNS0_13AioCompletionE")
METHOD(remove_now, IOCTX "6remove" OBJECT)

// The functions of C, which go-ceph calls.
WRITE(c_operate, "rados_write_op_operate2", c)
WRITE(c_remove, "rados_remove", b)
