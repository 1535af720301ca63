# The lock of a model: any number of readers, or one writer, who hear of signals and of forks.

cdef extern from "base/rwlock.hpp" namespace "imondrian" nogil:
    cdef enum class Entry(int):
        kIn
        kBusy
        kSelf
        kTorn
        kInterrupted

    cdef cppclass CGate "imondrian::Gate":
        uint64_t forks
        Entry try_read()
        Entry try_write()
        Entry read(Ask)
        Entry write(Ask)
        void end_read()
        void end_write()
        void forget_others()


cdef int enter(CGate* gate, bint write) except -1:
    # Under Python's lock, so that one thread does it.
    if gate.forks != forks:
        gate.forget_others()
        gate.forks = forks
    cdef Entry entry = gate.try_write() if write else gate.try_read()
    cdef Ask ask
    if entry == Entry.kBusy:
        ask = asker()
        with nogil:
            entry = gate.write(ask) if write else gate.read(ask)
    if entry == Entry.kIn:
        return 0
    if entry == Entry.kInterrupted:
        return -1  # with the error of the signal's handler
    if entry == Entry.kTorn:
        raise RuntimeError("this process was forked while another thread was changing the model: what is here is half "
                           "changed. Fork while no thread learns, or load the model in the child")
    raise RuntimeError("the model is in use by a call of this very thread, which a signal's handler (or a callback) has "
                       "interrupted: what it asks for would wait for itself")


cdef int leave(CGate* gate, bint write) except -1:
    if gate.forks != forks:
        gate.forget_others()
        gate.forks = forks
    if write:
        gate.end_write()
    else:
        gate.end_read()
    return 0


cdef class Reading:
    """Context in which a gate's model is read: with other readers, but no update."""

    cdef shared_ptr[CGate] gate

    def __enter__(self):
        enter(self.gate.get(), False)

    def __exit__(self, *error):
        leave(self.gate.get(), False)


cdef class Updating:
    """Context in which a gate's model is changed: alone."""

    cdef shared_ptr[CGate] gate

    def __enter__(self):
        enter(self.gate.get(), True)

    def __exit__(self, *error):
        leave(self.gate.get(), True)


cdef class Gate:
    """Lets any number of threads read a model, or one change it; the others wait. Not reentrant.

    A copied or unpickled gate is a new one, with nobody inside.
    """

    cdef readonly Reading reading
    cdef readonly Updating updating

    def __cinit__(self):
        cdef shared_ptr[CGate] gate = make_shared[CGate]()
        gate.get().forks = forks
        self.reading, self.updating = Reading(), Updating()
        self.reading.gate = self.updating.gate = gate

    def __reduce__(self):
        return Gate, ()
