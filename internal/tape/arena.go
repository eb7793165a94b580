package tape

// arena hands out memory that is used again after its extent is set back.
type arena[T any] struct {
	slabs [][]T
	extent
}

// extent is how much of an arena is in use.
type extent struct{ slab, used int } // index of the slab in use, and what is taken of it

// take returns n elements of unspecified content, of a slab of at least so many where a
// new one is needed; each start is a multiple of step away from that of its slab.
func (a *arena[T]) take(n, step, least int) []T {
	for a.slab < len(a.slabs) && a.used+n > len(a.slabs[a.slab]) {
		a.slab, a.used = a.slab+1, 0
	}
	if a.slab == len(a.slabs) {
		a.slabs = append(a.slabs, make([]T, max(n, least)))
		a.used = 0
	}
	s := a.slabs[a.slab][a.used : a.used+n : a.used+n]
	a.used += (n + step - 1) / step * step
	return s
}
