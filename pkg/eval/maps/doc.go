// Package maps draws what an elastic encoder of images makes of single pictures.
//
// [Choices] are the patches of a picture that every layer kept at a budget: a heat map beside
// the picture, and a small map for each layer and selector. [Reconstructions] are what a masked
// autoencoder draws of a picture that it sees in part, by the full model and at each budget.
//
// The same input gives the same pixels.
package maps
