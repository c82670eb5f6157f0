"""Names and shapes of published state dicts, spelled out by the rules that their repositories follow."""

from collections.abc import Iterator

Entry = tuple[str, tuple[int, ...]]


def norm(name: str, channels: int) -> Iterator[Entry]:
    yield from ((f"{name}.{part}", (channels,)) for part in ("weight", "bias", "running_mean", "running_var"))
    yield f"{name}.num_batches_tracked", ()


def affine(name: str, *shape: int) -> Iterator[Entry]:
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def torchvision_deeplabv3_resnet101() -> Iterator[Entry]:
    """torchvision: models/resnet.py, models/segmentation/deeplabv3.py and fcn.py."""
    yield "backbone.conv1.weight", (64, 3, 7, 7)
    yield from norm("backbone.bn1", 64)
    channels = 64
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (23, 256), (3, 512)), start=1):
        for block in range(blocks):
            name = f"backbone.layer{stage}.{block}"
            shapes = ((width, channels, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1))
            for i, shape in enumerate(shapes, start=1):
                yield f"{name}.conv{i}.weight", shape
                yield from norm(f"{name}.bn{i}", shape[0])
            if block == 0:
                yield f"{name}.downsample.0.weight", (4 * width, channels, 1, 1)
                yield from norm(f"{name}.downsample.1", 4 * width)
            channels = 4 * width
    for branch, kernel in enumerate((1, 3, 3, 3, 1)):
        first = 1 if branch == 4 else 0  # the pooled branch begins with its pool
        yield f"classifier.0.convs.{branch}.{first}.weight", (256, 2048, kernel, kernel)
        yield from norm(f"classifier.0.convs.{branch}.{first + 1}", 256)
    for name, shape in (
        ("classifier.0.project.", (256, 1280, 1, 1)),
        ("classifier.", (256, 256, 3, 3)),
        ("aux_classifier.", (256, 1024, 3, 3)),
    ):
        at = 1 if name == "classifier." else 0
        yield f"{name}{at}.weight", shape
        yield from norm(f"{name}{at + 1}", 256)
    yield from affine("classifier.4", 21, 256, 1, 1)
    yield from affine("aux_classifier.4", 21, 256, 1, 1)


def conv_norm(name: str, *shape: int) -> Iterator[Entry]:
    yield f"{name}.conv.weight", shape
    yield from norm(f"{name}.norm", shape[0])


def kmax_deeplab_r50() -> Iterator[Entry]:
    """bytedance/kmax-deeplab: modeling/{backbone,pixel_decoder,transformer_decoder} with kmax_r50.yaml for COCO."""
    yield from _kmax_backbone()
    decoder = "sem_seg_head.pixel_decoder"
    widths, inputs = (512, 256, 128, 64), (2048, 1024, 512, 256)
    for i, (width, blocks) in enumerate(zip(widths, (1, 5, 1, 1), strict=True)):
        yield from affine(f"{decoder}._in_norms.{i}", inputs[i])
        for block in range(blocks):
            channels = 4 * width if block or i == 0 else width
            yield from _kmax_block(f"{decoder}._stages.{i}._blocks.{block}", channels, width, axial=i < 2)
        if i:
            yield from conv_norm(f"{decoder}._resized_fuses.{i - 1}._conv_bn_low", width, 4 * widths[i - 1], 1, 1)
            yield from conv_norm(f"{decoder}._resized_fuses.{i - 1}._conv_bn_high", width, inputs[i], 1, 1)
    predictor = "sem_seg_head.predictor"
    for layer, channels in enumerate((2048, 2048, 1024, 1024, 512, 512)):
        yield from _kmax_layer(f"{predictor}._kmax_transformer_layers.{layer}", channels)
    yield f"{predictor}._cluster_centers.weight", (256, 128)
    yield from conv_norm(f"{predictor}._class_embedding_projection", 256, 256, 1)
    yield from conv_norm(f"{predictor}._mask_embedding_projection", 256, 256, 1)
    yield from _kmax_heads(f"{predictor}._predcitor", 256)


def _kmax_backbone() -> Iterator[Entry]:
    def convolution(name: str, *shape: int) -> Iterator[Entry]:
        yield f"{name}.weight", shape
        yield from norm(f"{name}.norm", shape[0])

    yield from convolution("backbone.stem.conv1", 64, 3, 7, 7)
    channels = 64
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=2):
        for block in range(blocks):
            name = f"backbone.res{stage}.{block}"
            if block == 0:
                yield from convolution(f"{name}.shortcut", 4 * width, channels, 1, 1)
            yield from convolution(f"{name}.conv1", width, channels, 1, 1)
            yield from convolution(f"{name}.conv2", width, width, 3, 3)
            yield from convolution(f"{name}.conv3", 4 * width, width, 1, 1)
            channels = 4 * width


def _kmax_block(name: str, channels: int, width: int, *, axial: bool) -> Iterator[Entry]:
    first, last = (2 * width, 2 * width) if axial else (width, width)
    yield from conv_norm(f"{name}._conv1_bn_act", first, channels, 1, 1)
    if axial:
        for axis in ("height", "width"):
            attention = f"{name}._attention._{axis}_axis"
            yield f"{attention}.qkv_transform.conv.weight", (4 * width, 2 * width, 1)
            for rpe, depth in (("query", width // 8), ("key", width // 8), ("value", width // 4)):
                yield f"{attention}._{rpe}_rpe._embeddings.weight", (509, depth)
            yield from norm(f"{attention}._batch_norm_qkv", 4 * width)
            yield from norm(f"{attention}._batch_norm_similarity", 24)
            yield from norm(f"{attention}._batch_norm_retrieved_output", 4 * width)
    else:
        yield from conv_norm(f"{name}._conv2_bn_act", width, width, 3, 3)
    yield from conv_norm(f"{name}._conv3_bn", 4 * width, last, 1, 1)
    if channels != 4 * width:
        yield from conv_norm(f"{name}._shortcut", 4 * width, channels, 1, 1)


def _kmax_layer(name: str, channels: int) -> Iterator[Entry]:
    yield from conv_norm(f"{name}._query_conv1_bn_act", 256, 256, 1)
    yield from conv_norm(f"{name}._pixel_conv1_bn_act", 256, channels, 1, 1)
    yield from conv_norm(f"{name}._query_qkv_conv_bn", 512, 256, 1)
    yield from conv_norm(f"{name}._pixel_v_conv_bn", 256, 256, 1, 1)
    yield from norm(f"{name}._query_self_attention._batch_norm_similarity", 8)
    yield from norm(f"{name}._query_self_attention._batch_norm_retrieved_value", 256)
    yield from conv_norm(f"{name}._query_conv3_bn", 256, 256, 1)
    yield from conv_norm(f"{name}._query_ffn_conv1_bn_act", 2048, 256, 1)
    yield from conv_norm(f"{name}._query_ffn_conv2_bn", 256, 2048, 1)
    yield from _kmax_heads(f"{name}._predcitor", 256)
    yield from norm(f"{name}._kmeans_query_batch_norm_retrieved_value", 256)
    yield from conv_norm(f"{name}._kmeans_query_conv3_bn", 256, 256, 1)


def _kmax_heads(name: str, channels: int) -> Iterator[Entry]:
    yield from conv_norm(f"{name}._pixel_space_head_conv0bnact", channels, 1, 5, 5)
    yield from conv_norm(f"{name}._pixel_space_head_conv1bnact", 256, channels, 1, 1)
    yield from conv_norm(f"{name}._pixel_space_head_last_convbn", 128, 256, 1, 1)
    yield f"{name}._pixel_space_head_last_convbn.conv.bias", (128,)
    yield from conv_norm(f"{name}._transformer_mask_head", 128, 256, 1)
    yield from affine(f"{name}._transformer_class_head.conv", 134, 256, 1)
    yield from norm(f"{name}._pixel_space_mask_batch_norm", 1)


def titok_decoder(tokens: int, width: int, layers: int) -> Iterator[Entry]:
    """bytedance/1d-tokenizer: modeling/titok.py, modules/blocks.py and modules/maskgit_vqgan.py, is_legacy."""
    yield "quantize.embedding.weight", (4096, 12)
    yield "pixel_quantize.embedding.weight", (1024, 256)
    yield from affine("decoder.decoder_embed", width, 12)
    yield "decoder.class_embedding", (1, width)
    yield "decoder.positional_embedding", (257, width)
    yield "decoder.mask_token", (1, 1, width)
    yield "decoder.latent_token_positional_embedding", (tokens, width)
    for name in ("ln_pre", "ln_post"):
        yield from affine(f"decoder.{name}", width)
    for layer in range(layers):
        name = f"decoder.transformer.{layer}"
        yield from affine(f"{name}.ln_1", width)
        yield from affine(f"{name}.ln_2", width)
        yield f"{name}.attn.in_proj_weight", (3 * width, width)
        yield f"{name}.attn.in_proj_bias", (3 * width,)
        yield from affine(f"{name}.attn.out_proj", width, width)
        yield from affine(f"{name}.mlp.c_fc", 4 * width, width)
        yield from affine(f"{name}.mlp.c_proj", width, 4 * width)
    yield from affine("decoder.ffn.0", 2 * width, width, 1, 1)
    yield from affine("decoder.ffn.2", 1024, 2 * width, 1, 1)
    yield from affine("pixel_decoder.conv_in", 512, 256, 3, 3)
    for block in range(2):
        yield from _vq_block(f"pixel_decoder.mid.{block}", 512, 512)
    for level, (channels, out) in enumerate(((128, 128), (256, 128), (256, 256), (512, 256), (512, 512))):
        yield from _vq_block(f"pixel_decoder.up.{level}.block.0", channels, out)
        yield from _vq_block(f"pixel_decoder.up.{level}.block.1", out, out)
        if level:
            yield from affine(f"pixel_decoder.up.{level}.upsample_conv", out, out, 3, 3)
    yield from affine("pixel_decoder.norm_out", 128)
    yield from affine("pixel_decoder.conv_out", 3, 128, 3, 3)


def _vq_block(name: str, channels: int, out: int) -> Iterator[Entry]:
    yield from affine(f"{name}.norm1", channels)
    yield f"{name}.conv1.weight", (out, channels, 3, 3)
    yield from affine(f"{name}.norm2", out)
    yield f"{name}.conv2.weight", (out, out, 3, 3)
    if channels != out:
        yield f"{name}.nin_shortcut.weight", (out, out, 1, 1)
