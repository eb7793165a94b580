package tape

import "github.com/elastiformer/elastiformer/internal/kernel"

// Assemble makes the sequences that an encoder reads: for each of n pictures the prefix
// (class token and the like), then its patches; positions, nil for none, are added to
// each sequence. prefix (P, D) or nil, patches (n·m, D), positions (P+m, D) → (n·(P+m), D).
func (t *Tape) Assemble(prefix, patches, positions *Var, n int) *Var {
	p := 0
	if prefix != nil {
		p = prefix.Rows
	}
	m := 0
	if n > 0 {
		m = patches.Rows / n
	}
	y := t.NewVar(n*(p+m), patches.Cols, wanted(prefix, patches, positions))
	kernel.ParallelRows(y.Rows, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			s, i := r/(p+m), r%(p+m)
			if i < p {
				copy(y.Mat().Row(r), prefix.Mat().Row(i))
			} else {
				copy(y.Mat().Row(r), patches.Mat().Row(s*m+i-p))
			}
			if positions != nil {
				kernel.Add(y.Mat().Row(r), positions.Mat().Row(i))
			}
		}
	})
	if y.Grad != nil {
		t.Step(func() { assembleBackward(y, prefix, patches, positions, n) })
	}
	return y
}

// assembleBackward adds up, row by row, what all sequences give prefix and positions.
func assembleBackward(y, prefix, patches, positions *Var, n int) {
	if n == 0 {
		return
	}
	length, m := y.Rows/n, patches.Rows/n
	p := length - m
	d := y.GradMat()
	kernel.ParallelRows(length, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			for s := range n {
				row := d.Row(s*length + i)
				if i < p && prefix.Grad != nil {
					kernel.Add(prefix.GradMat().Row(i), row)
				}
				if i >= p && patches.Grad != nil {
					kernel.Add(patches.GradMat().Row(s*m+i-p), row)
				}
				if positions != nil && positions.Grad != nil {
					kernel.Add(positions.GradMat().Row(i), row)
				}
			}
		}
	})
}

// MeanRows is the mean of each sequence's rows from number from on: x (T, D) → (S, D). A
// sequence without such rows has a mean of zeros.
func (t *Tape) MeanRows(x *Var, l *Layout, from int) *Var {
	y := t.NewVar(l.Sequences(), x.Cols, x.Grad != nil)
	rows := func(s int) (lo, hi int, share float32) {
		lo, hi = min(l.Start[s]+from, l.Start[s+1]), l.Start[s+1]
		return lo, hi, 1 / float32(max(1, hi-lo))
	}
	kernel.Parallel(y.Rows, func(s int) {
		lo, hi, share := rows(s)
		mean := y.Mat().Row(s)
		clear(mean)
		for r := lo; r < hi; r++ {
			kernel.Add(mean, x.Mat().Row(r))
		}
		kernel.Scale(mean, share)
	})
	if y.Grad != nil {
		t.Step(func() {
			kernel.Parallel(y.Rows, func(s int) {
				lo, hi, share := rows(s)
				for r := lo; r < hi; r++ {
					kernel.AddScaled(x.GradMat().Row(r), y.GradMat().Row(s), share)
				}
			})
		})
	}
	return y
}

// Multiply multiplies every row by w, value by value: x (T, D), w (1, D) → (T, D).
//
//	backward: dx = w·dy, dw = Σ_t x·dy
func (t *Tape) Multiply(x, w *Var) *Var {
	y := t.NewVar(x.Rows, x.Cols, wanted(x, w))
	kernel.MultiplyRows(y.Mat(), x.Mat(), w.Data)
	if y.Grad != nil {
		t.Step(func() { kernel.MultiplyRowsBackward(x.GradMat(), y.GradMat(), x.Mat(), w.Data, w.Grad) })
	}
	return y
}

// Concat puts the columns of b behind those of a: (T, Da) and (T, Db) → (T, Da+Db).
func (t *Tape) Concat(a, b *Var) *Var {
	y := t.NewVar(a.Rows, a.Cols+b.Cols, wanted(a, b))
	for r := range y.Rows {
		row := y.Mat().Row(r)
		copy(row, a.Mat().Row(r))
		copy(row[a.Cols:], b.Mat().Row(r))
	}
	if y.Grad != nil {
		t.Step(func() {
			for r := range y.Rows {
				row := y.GradMat().Row(r)
				if a.Grad != nil {
					kernel.Add(a.GradMat().Row(r), row[:a.Cols])
				}
				if b.Grad != nil {
					kernel.Add(b.GradMat().Row(r), row[a.Cols:])
				}
			}
		})
	}
	return y
}
