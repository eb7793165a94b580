package tape

// Layout says which rows belong to which sequence and at which position of it they
// stand. Sequences follow one another; a sequence may have no rows.
type Layout struct {
	Start []int   // (S+1): rows Start[s] to Start[s+1] are sequence s
	Pos   []int32 // (rows): position in the sequence, ascending within it
}

// NewLayout lays out whole sequences of the given lengths, from position 0.
func NewLayout(lengths ...int) *Layout {
	l := &Layout{Start: make([]int, 1, len(lengths)+1)}
	for _, n := range lengths {
		for i := range n {
			l.Pos = append(l.Pos, int32(i))
		}
		l.Start = append(l.Start, len(l.Pos))
	}
	return l
}

// Join puts sequences of token ids behind one another, each from position 0.
func Join(sequences [][]int32) (ids []int32, l *Layout) {
	lengths := make([]int, len(sequences))
	for i, s := range sequences {
		ids, lengths[i] = append(ids, s...), len(s)
	}
	return ids, NewLayout(lengths...)
}

// Continue lays out n rows of one sequence that follow position from−1.
func Continue(from, n int) *Layout {
	l := NewLayout(n)
	for i := range l.Pos {
		l.Pos[i] += int32(from)
	}
	return l
}

// Rows is the number of rows.
func (l *Layout) Rows() int { return len(l.Pos) }

// Sequences is the number of sequences.
func (l *Layout) Sequences() int { return len(l.Start) - 1 }

// Keep is the layout of the chosen rows alone (ascending).
func (l *Layout) Keep(rows []int32) *Layout {
	k := &Layout{Start: make([]int, 1, len(l.Start)), Pos: make([]int32, len(rows))}
	i := 0
	for s := range l.Sequences() {
		for i < len(rows) && int(rows[i]) < l.Start[s+1] {
			k.Pos[i] = l.Pos[rows[i]]
			i++
		}
		k.Start = append(k.Start, i)
	}
	return k
}
