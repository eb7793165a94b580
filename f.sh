#!/bin/bash
cd /tmp/x; D=/work/shared/data
./e6 convert $D/models/vit-cifar10-F32.gguf -o $1.c.gguf --force --routers heads,experts --lora-rank 4 >/dev/null 2>$1.err
./e6 train $1.c.gguf --data $D/images/cifar10/train -o $1.t.gguf --force --progress none --threads 1 --budgets 0.45..0.9 --lr 2e-3 --loss mse,cosine,kl --temperature 4 $2 >/dev/null 2>>$1.err
./e6 eval $1.t.gguf --data $D/images/cifar10/test --budget 0.3..1+0.1 --threads 1 --progress none > $1.out 2>>$1.err
date >> $1.out
