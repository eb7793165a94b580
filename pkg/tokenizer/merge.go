package tokenizer

// merger joins the symbols of a word, the pair of least rank first and of equal ones the leftmost, until no two
// neighbours can be joined. Both kinds of byte-pair encoding work like this; they differ in what a symbol is at the
// start and in which pairs have a rank. A merger encodes one word after the other in the same memory.
type merger struct {
	pairs   ranker
	symbols []symbol
	queue   []pair // heap
}

// ranker knows which symbols can be joined.
type ranker interface {
	// rank returns the rank of a pair of neighbours, the lower the earlier, and the id of what they become.
	rank(left, right *symbol) (rank, id int32, ok bool)
}

// symbol is a piece of the word: n bytes from start, in a linked list. n is 0 once
// it has been joined to the symbol before it.
type symbol struct {
	start, n   int
	prev, next int // index of a symbol, or -1
	id         int32
}

// pair is two neighbouring symbols that can be joined. It is stale, and
// passed over, when one of them has changed since, which the size shows.
type pair struct {
	left, right int
	size        int // bytes
	rank, id    int32
}

// before orders pairs: the lowest rank first, of equal ones the leftmost.
func (p pair) before(q pair) bool {
	return p.rank < q.rank || p.rank == q.rank && p.left < q.left
}

// reset begins a word.
func (m *merger) reset() { m.symbols = m.symbols[:0] }

// add puts n bytes behind the word.
func (m *merger) add(n int, id int32) {
	at, start := len(m.symbols), 0
	if at > 0 {
		last := &m.symbols[at-1]
		last.next = at
		start = last.start + last.n
	}
	m.symbols = append(m.symbols, symbol{start: start, n: n, prev: at - 1, next: -1, id: id})
}

// merge joins what can be joined. What is left is the list that begins with the first symbol. A word of n symbols makes
// at most 3n pairs, each put into and taken out of the heap once: O(n log n).
func (m *merger) merge() {
	for i := range len(m.symbols) - 1 {
		m.consider(i, i+1)
	}
	for len(m.queue) > 0 {
		m.join(m.pop())
	}
}

// join joins the symbols of p, unless p is stale, and considers the new
// neighbours.
func (m *merger) join(p pair) {
	left, right := &m.symbols[p.left], &m.symbols[p.right]
	if left.n == 0 || right.n == 0 || left.n+right.n != p.size {
		return
	}
	left.n += right.n
	left.id = p.id
	right.n = 0
	left.next = right.next
	if right.next >= 0 {
		m.symbols[right.next].prev = p.left
	}
	m.consider(left.prev, p.left)
	m.consider(p.left, left.next)
}

// consider queues two neighbours if they can be joined.
func (m *merger) consider(left, right int) {
	if left < 0 || right < 0 {
		return
	}
	l, r := &m.symbols[left], &m.symbols[right]
	if rank, id, ok := m.pairs.rank(l, r); ok {
		m.push(pair{left: left, right: right, size: l.n + r.n, rank: rank, id: id})
	}
}

// push and pop are a binary heap written out: container/heap would allocate for
// every pair.
func (m *merger) push(p pair) {
	m.queue = append(m.queue, p)
	q := m.queue
	i := len(q) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !p.before(q[parent]) {
			break
		}
		q[i] = q[parent]
		i = parent
	}
	q[i] = p
}

func (m *merger) pop() pair {
	q := m.queue
	top, last := q[0], q[len(q)-1]
	q = q[:len(q)-1]
	i := 0
	for {
		child := 2*i + 1
		if child >= len(q) {
			break
		}
		if child+1 < len(q) && q[child+1].before(q[child]) {
			child++
		}
		if !q[child].before(last) {
			break
		}
		q[i] = q[child]
		i = child
	}
	if len(q) > 0 {
		q[i] = last
	}
	m.queue = q
	return top
}
