// Package routing makes a pretrained transformer elastic: it attaches tiny routers
// (ElastiFormer, arXiv 2411.15281), decides with them what a forward pass computes,
// counts what that costs, turns a compute budget into capacities, and keeps all of it
// in `elastiformer.*` keys beside the untouched checkpoint.
//
// Four selectors exist, two for each module of a block: which tokens enter it, and
// which of its units (attention heads, MLP experts) each token computes. A selector at
// capacity 1 is off: it is not scored, weighs 1 and adds nothing. With all selectors
// off the model is the pretrained one bit for bit.
//
// A Setting fixes capacities for one budget at one length. Solve finds it; a Pass
// carries it through the model.
package routing
