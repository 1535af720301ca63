# Signals and forks: which calls may stop, and who asks whether they should.

cdef extern from "Python.h":
    int PyErr_CheckSignals()  # declared without `except`: the error stays set until the native call has ended
    unsigned long PyThread_get_thread_ident() nogil


cdef unsigned long main_thread = threading.main_thread().ident
cdef uint64_t forks = 0  # behind this process


def _note_fork():
    global main_thread, forks
    main_thread = PyThread_get_thread_ident()  # the thread that forked is the child's only one
    forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


cdef cbool ask_python() noexcept with gil:
    return PyErr_CheckSignals() != 0


cdef Ask asker() noexcept:
    """What asks whether a signal has come, or NULL: only the main thread hears of signals."""
    return &ask_python if PyThread_get_thread_ident() == main_thread else NULL


def hears_signals():
    """Return whether a native call made here can be interrupted."""
    return asker() != NULL


cdef int hear_signals() except -1:
    """Raise what a signal's handler raises: what came during the last moments of a call can still be undone."""
    return -1 if PyErr_CheckSignals() != 0 else 0
