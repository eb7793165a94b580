#!/bin/bash
# aug.sh: default training with each augmentation, CIFAR and MNIST
cd /tmp/x; D=/work/shared/data
for a in "" flip shift flip,shift; do
 for m in cifar10 mnist; do
  if [ $m = mnist ]; then tr=mtr; te=mte; else tr=$D/images/cifar10/train; te=$D/images/cifar10/test; fi
  ./e6 convert $D/models/vit-$m-F32.gguf -o g.c.gguf --force >/dev/null 2>g.err
  ./e6 train g.c.gguf --data $tr -o g.t.gguf --force --progress none --threads 1 --augment "$a" --steps ${S:-300} >/dev/null 2>>g.err
  echo "== $m aug=$a"; ./e6 eval g.t.gguf --data $te --budget 0.6,0.8 --threads 1 --progress none 2>>g.err | grep '^ *0\.[68]'
 done
done
