// Package huggingface turns a model folder in the form of the Hugging Face hub into a GGUF file: weights in safetensors,
// hyperparameters in config.json, the vocabulary in tokenizer.json or tokenizer.model or, of an encoder of pictures, what is
// done to them in preprocessor_config.json.
//
// # What differs between the two forms
//
// The folder names tensors by the modules of the Transformers library, the GGUF file by ggml's short names. Apart from
// that most bytes are the same, and are copied as they lie; four things are not:
//
//   - Rotary embedding. Transformers rotates value i of a head with value i + Dh/2. The families that ggml calls NORM
//     (llama, smollm3, granite) rotate neighbours, 2i with 2i + 1, so the rows of their query and key projections are
//     put in that order, head by head. Scores are sums over a head and stay what they were.
//   - Gemma's norms multiply by 1 + w. The file holds 1 + w.
//   - The experts of a layer are matrices of their own in the folder, and one stacked tensor in the file.
//   - Scaled rotary frequencies of Llama 3.1 and Phi 3 are numbers in config.json, and tensors in the file.
//
// Tied embeddings are one tensor in both; vectors are F32 in the file; the vocabulary is padded to the rows of the
// embedding.
//
// Encoders of pictures have none of these: their tensors get other names, and the picture's way to the model becomes keys.
//
// # Families
//
// What a family's tensors are called, which shapes config.json promises for them and which values of config.json a GGUF
// file of that architecture can express is a table ([Architectures] lists its first column). A folder that asks for
// something else is refused with [ErrUnsupported] rather than converted to another model. Parts of a model that the file has
// no place for, such as the text tower beside an encoder of pictures, are left out, which [Folder.LeftOut] says.
//
// # Trust
//
// A folder is as little trusted as a GGUF file. Headers and tables are compared with the size of the file before memory is
// spent on them; nothing outside the folder is opened, be it by a path in the index or by a symbolic link. Tensor data is
// read row by row while the GGUF file is written: of a model of any size little more than a few megabytes is in memory.
package huggingface
