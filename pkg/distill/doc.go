// Package distill trains routers, compensation and LoRA by self-distillation: the
// teacher is the very same model with everything switched on, and its weights stay
// frozen (ElastiFormer, arXiv 2411.15281).
//
//	loss = distill + λ_balance·balance + λ_topk·bce
//
// Each sequence of a batch draws its own budget, so that one checkpoint serves them
// all. Everything drawn is a function of the seed and the step, so a run that was
// interrupted anywhere continues to the same bytes.
package distill
