"""On a GPU: no step waits for the device, and a resumed run goes on where it was."""

import pytest
import pytorch_lightning as pl
import torch

from lightning_inpaint.callbacks.training import AverageGenerator

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]


class NoWaiting(pl.Callback):
    """Any wait for the device between the start and the end of a later step is an error."""

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if module.steps:
            torch.cuda.set_sync_debug_mode("error")

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        torch.cuda.set_sync_debug_mode("default")

    def teardown(self, trainer, module, stage):
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_steps_do_not_wait_for_the_device(make, trainer, dtype):
    module, data = make(convolution_dtype=dtype, r1_interval=2)
    run = trainer(4, accelerator="gpu", callbacks=[AverageGenerator(), NoWaiting()])
    run.fit(module, data)
    assert module.steps == 4


def test_a_run_begun_on_a_gpu_is_taken_on(make, trainer, tmp_path):
    first, data = make()
    run = trainer(2, accelerator="gpu", callbacks=[AverageGenerator()])
    run.fit(first, data)
    run.save_checkpoint(tmp_path / "two.ckpt")
    for accelerator in ("gpu", "cpu"):
        second, data = make()
        options = {"ckpt_path": tmp_path / "two.ckpt", "weights_only": True}
        trainer(3, accelerator=accelerator).fit(second, data, **options)
        assert (second.steps, second.seen) == (3, 12)
