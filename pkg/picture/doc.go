// Package picture turns picture files into what a vision transformer reads.
//
// Models are trained on what the Python Imaging Library (PIL) makes of a file, so
// this package does the same, and its tests compare the bytes. [Open] and [Decode] read
// PNG, JPEG, GIF (the first frame) and WebP to 8-bit RGB as Image.convert("RGB") does:
// transparency is dropped, not blended, and of 16 bits the upper eight are kept. (Of
// grey with 16 bits PIL keeps none but the first 256 values, which loses the picture and
// is not followed.) What EXIF says about the camera's orientation is ignored, as
// torchvision and the image processors of Hugging Face do unless told otherwise.
// [Picture.Resize] is Image.resize to the last bit: antialiased, horizontally first,
// in fixed point.
//
// PNG, GIF and lossless WebP hold exact pixels. The pixels of a lossy file are its
// decoder's: lossy WebP gives those of libwebp, and JPEG those of libjpeg-turbo but for
// the rounding of the inverse cosine transform, which moves some values by one to three.
//
// [Preprocessing] says how a checkpoint wants its pictures: resized to its size, or by
// the shorter side and cropped, or padded the way llama.cpp does for LLaVA; then scaled
// to 0..1 and normalised per channel.
//
// Files are not trusted. What a header promises is checked before anything is decoded:
// sides up to [MaxSide], areas up to [MaxPixels], and no more than the bytes of the file
// could hold.
package picture
