#!/usr/bin/env bash
# Everything that only a GPU can show, in 25 minutes:
#   bash benchmarks/gpu.sh --data cifar10.zip --nvidia-repo CLONE --seed-repo CLONE
# and the same on a CPU with tiny sizes, which shows that it works before a GPU is paid for:
#   bash benchmarks/gpu.sh --rehearse
# Parts: tests marked cuda (equality with the CPU among them), speed of the step loop (the original
# experiment's sampler, then the default's), speed of training, training until the time is up, evaluation of
# what was trained. Each has a time limit of its own, a file in --out that grows while it runs, and a line in
# summary.txt when it ends; a part that fails or runs out of time does not stop the next one. The last state is
# kept: the same --out goes on training from it.
set -uo pipefail
cd "$(dirname "$0")/.."

out=gpu-results minutes=25 data="" nvidia="" seed="" rehearse=""
python=${PYTHON:-python}
fail() { echo "gpu.sh: $1" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case $1 in
    --rehearse) rehearse=1; shift; continue ;;
    --help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --out | --minutes | --data | --nvidia-repo | --seed-repo) ;;
    *) fail "$1 is unknown; pass --rehearse, --out, --minutes, --data, --nvidia-repo or --seed-repo." ;;
  esac
  [ $# -gt 1 ] || fail "$1 needs a value."
  case $1 in
    --out) out=$2 ;;
    --minutes) minutes=$2 ;;
    --data) data=$2 ;;
    --nvidia-repo) nvidia=$2 ;;
    --seed-repo) seed=$2 ;;
  esac
  shift 2
done
[[ $minutes =~ ^[1-9][0-9]*$ ]] || fail "--minutes is $minutes; pass a whole number from 1 on."
[ -z "$data" ] || [ -e "$data" ] || fail "--data $data: no such file or folder."
[ -n "$nvidia" ] && [ -z "$seed" ] && fail "--nvidia-repo goes with --seed-repo: pass both or neither."
[ -n "$seed" ] && [ -z "$nvidia" ] && fail "--seed-repo goes with --nvidia-repo: pass both or neither."
if [ -z "$rehearse" ]; then
  [ -n "$data" ] || fail "training needs pictures: pass --data, a zip or folder with one sub-folder for each class."
  "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' ||
    fail "torch sees no GPU here; pass --rehearse to try the script on the CPU."
fi
mkdir -p "$out" || fail "--out $out cannot be made."
out=$(cd "$out" && pwd)
[ -z "$data" ] || data=$(realpath "$data")
started=$SECONDS
left() { echo $((minutes * 60 - (SECONDS - started))); }

# part NAME SECONDS COMMAND...: output to NAME.txt and the screen, one line to summary.txt.
part() {
  local name=$1 limit=$2 begun=$SECONDS status
  shift 2
  [ "$limit" -lt "$(left)" ] || limit=$(left)
  if [ "$limit" -lt 5 ]; then
    echo "$name: no time left" | tee -a "$out/summary.txt"
    return 1
  fi
  echo "== $name (at most $limit s): $*" | tee "$out/$name.txt"
  # SIGINT first: training answers it with a checkpoint.
  timeout --signal INT --kill-after 30 "$limit" "$@" 2>&1 | tee -a "$out/$name.txt"
  status=${PIPESTATUS[0]}
  case $status in
    0) status=done ;;
    124 | 137) status="stopped at its limit" ;;
    *) status="failed with status $status" ;;
  esac
  echo "$name: $status after $((SECONDS - begun)) s" | tee -a "$out/summary.txt"
}

{
  date -u +%FT%TZ
  git log -1 --format='commit %h' 2> /dev/null
  nvidia-smi --query-gpu=name,driver_version,memory.total,power.limit --format=csv,noheader 2> /dev/null ||
    echo "no GPU: a rehearsal on the CPU"
  "$python" -c 'import torch; print("torch", torch.__version__, "CUDA", torch.version.cuda)'
} | tee "$out/summary.txt"

# Rows are printed when all forms of a batch size are compiled: one preset at a time, the original's first.
loop=(benchmarks/sampler.py --compiled)
speed=(benchmarks/training_throughput.py --steps)
# The file comes first: flags override what stands before them.
train=(cli.py fit --config configs/train_gpu.yaml --trainer.default_root_dir "$out/training" --trainer.enable_progress_bar false
  --export.path "$out/training/generator-{pictures}.safetensors" --export.discriminator true)
samples=10000
if [ -n "$rehearse" ]; then
  export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
  if [ -z "$data" ]; then
    data=$out/pictures
    "$python" - "$data" << 'PICTURES' || fail "the made-up pictures cannot be written to $data."
import sys
from pathlib import Path
import numpy as np
from PIL import Image
random = np.random.default_rng(0)
for k, name in enumerate(("ant", "bee")):
    folder = Path(sys.argv[1], name)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(20):
        Image.fromarray(random.integers(99 * k, 99 * k + 99, (32, 32, 3), dtype=np.uint8)).save(folder / f"{i}.png")
PICTURES
  fi
  samples=16
  "$python" - "$out/small.safetensors" << 'NETWORK' || fail "the small network cannot be written to $out."
import sys
from lightning_inpaint.generators import save_generator
from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator
save_generator(StyleGAN2Generator(16, 2, 16, 8, mapping_layers=2, channel_base=64, channel_max=8), sys.argv[1])
NETWORK
  loop+=(--generator "$out/small.safetensors" --batches 2 3 --precisions bfloat16 --steps 2 --rounds 1)
  speed+=(1 --batch_size 8 --channel_base 128 --discriminator_base 128 --dtype bfloat16)
  train+=(--model.channel_base 128 --model.discriminator_base 128
    --model.compile false --data.batch_size 8 --trainer.benchmark false --model.total_pictures 64
    --samples.every_n_steps 4 --checkpoint.every_n_train_steps 4 --export.every_n_steps 4)
  limits=(180 180 60 60 120 180)
else
  loop+=(--device cuda --full --batches 8 256 512 1024 --precisions float32 bfloat16)
  speed+=(10 --batch_size 512 --channel_base 8192 --channel_max 256 --discriminator_base 8192
    --dtype bfloat16 --compile)
  limits=(240 360 120 $((minutes * 60)) 150 150)
fi
[ -z "$nvidia" ] || loop+=(--nvidia-repo "$nvidia" --seed-repo "$seed")
last=$out/training/checkpoints/last.ckpt
[ ! -f "$last" ] || train+=(--ckpt_path "$last")

export PYTHONPATH=.
part 1-tests "${limits[0]}" "$python" -m pytest -m cuda -rs tests
part 2-sampler "${limits[1]}" "$python" "${loop[@]}" --presets plugin
part 2-default "${limits[5]}" "$python" "${loop[@]}" --presets default
part 3-throughput "${limits[2]}" "$python" "${speed[@]}"
part 4-training "$(($(left) - limits[4] < limits[3] ? $(left) - limits[4] : limits[3]))" \
  "$python" "${train[@]}" --data.path "$data"
newest=$(ls -t "$out"/training/generator-*.safetensors 2> /dev/null | grep -v discriminator | head -1)
if [ -n "$newest" ]; then
  judges=classifier
  "$python" -c 'from lightning_inpaint.evaluation.spaces import mobilenet; mobilenet()' 2> /dev/null &&
    judges=classifier,mobilenet
  "$python" cli.py sample "$newest" --output "$out/samples.png"
  part 5-evaluation "${limits[4]}" "$python" cli.py evaluate "$newest" --path "$data" --samples "$samples" \
    --features "$judges" --output "$out/evaluation.json" --neighbours "$out/neighbours.png"
else
  echo "5-evaluation: failed, training has exported nothing" | tee -a "$out/summary.txt"
fi
echo "results: $out"
! grep -q "failed" "$out/summary.txt"
