# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The ECG encoder

# %% tags=["parameters"]
params: str = "params/synthetic.yaml"  # profile: which data and how long
record: int = 0  # which held-out ECG to follow
records: int = 24  # held-out ECGs to average over
block: str = "1.2"  # stage.block whose gate the beat passes

# %% tags=["hide-input"]
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from mccgaa.config import LEADS, EncoderConfig, ModelConfig
from mccgaa.encoder import EcgEncoder, unit
from mccgaa.model import MCCGAA, scale_input
from mccgaa.runtime import seed_step
from mccgaa_book import claims, page, paper
from mccgaa_book.audit import encoder as audit
from mccgaa_book.audit import leads
from mccgaa_book.lab import Lab
from mccgaa_book.plots import diagram, style
from mccgaa_book.plots import encoder as plots

lab = Lab(params)
page.start(lab)

# %% [markdown]
# **What the paper claims here.** Section 3.2 (equations 2 to 15, Figure 2): a one-dimensional ResNet-18 turns
# an ECG into an embedding, and a channel attention module (CAM) in each block serves "prioritizing key leads" and
# suppresses noise. Table 4: without CAM, Rhythm falls from 84.59 to 80.29. Table 5: of four depths,
# 18 layers are best, and the deeper networks are said to overfit.
#
# **What you will have at the end.** Every equation of the encoder computed on an ECG, first by
# hand and then by the module; one beat followed through one gate; the gates of a pretrained model; and five
# places where the text and the equations part, each with a cell that measures what hangs on it.
#
# **What it needs.** One pretrained run of this profile, loaded or trained on the way. The module is
# `mccgaa/encoder.py`, the audits `mccgaa_book/audit/encoder.py` and `leads.py`.

# %% [markdown]
# ## The encoder in one picture (Figure 2)
#
# From left to right an ECG becomes a vector. Each part says the size of its map: how many channels, and how many *moments*,
# which are the time steps of a map; where a part halves them, a moment is twice as long.

# %% tags=["remove-input"]
diagram.show(
    diagram.backbone(ModelConfig()),
    "Figure 2 of the paper, drawn from the modules at the paper's size: channels x "
    "moments below each part, equations in the attention. Blue: learned.",
)

# %% [markdown]
# ## An ECG and an encoder
#
# We take the first variant of this profile that has the channel attention, pretrained, and the
# same network before its first step: {glue:text}`variant`. Held-out ECGs go in: the model has not seen
# their subjects.

# %%
with_cam = [v for v in lab.variants if lab.config(v).model.encoder.cam == "channel"]
run = lab.run(with_cam[0])
encoder = run.model.encoder
seed_step(run.config.pretrain.seed)
untrained = MCCGAA(run.config.model).encoder.eval()
page.glue("variant", lab.variants[run.config.name])

# %%
store = lab.store("pretrain")
rows = store.indices(split="val")[:records]
settings = run.config.model.input
signals = scale_input(torch.from_numpy(store.batch(rows)), settings.scaling)
rate, standardised = settings.sampling_rate, settings.transform == "bandpass-zscore"
x = signals[record]  # (leads, T)
print(f"{x.shape[0]} leads x {x.shape[1]} samples")

# %% [markdown]
# ## Convolution, normalisation, ReLU
#
# $$
# \chi_i^o = \sum_{j=0}^{k-1} \chi_{i+j}\, w_j, \qquad
# x^o = \{\chi_i^o\}, \qquad X^o = \{x_i^o\}
# $$ (eq-encoder-2-4)
#
# The stem is a convolution with kernel $k = 7$ that moves two samples at a time. Here is its value at moment 40,
# for all its filters, from equation 2 with the sum over leads that the equation leaves unsaid.

# %%
w = encoder.stem[0].weight.squeeze(2)  # (filters, leads, 7)
i = 40
chi = sum(w[:, :, j] @ x[:, 2 * i + j - 3] for j in range(7))  # (filters,)
by_module = encoder.stem[0](x[None, :, None])[0, :, 0, i]
torch.allclose(chi, by_module, atol=1e-5)

# %% [markdown]
# The module takes a tensor of height one, because two-dimensional convolutions in channels-last order run
# faster on a CPU; the numbers are those of a one-dimensional convolution, as the cell shows.
#
# :::{admonition} Reading note: what "3x3" means here
# :class: warning
# Figure 2 writes $3 \times 3$ and its caption explains "kernel size 3". A signal has one time axis, so this
# is a kernel of 3 samples over all channels. Taken literally, a 3x3 kernel would slide over the leads too and treat
# V1 as the neighbour of aVF. Not stated at all: strides, padding, the stem. We take the strides of
# ResNet {cite}`he2016resnet` (1, 2, 2, 2), a stem of kernel 7 and stride 2, and no max-pooling.
# :::
#
# $$
# \hat{X} = \frac{X^o - \mu}{\sigma}, \qquad \hat{X}^o = \gamma \hat{X} + \beta
# $$ (eq-encoder-5-6)
#
# $$
# f_{ReLU}(X^o) = \max(0, X^o)
# $$ (eq-encoder-7)
#
# In training $\mu$ and $\sigma$ are those of a channel over all records of the batch and all moments. At
# inference they are running averages, which the paper does not mention; without them the
# embedding of an ECG would depend on its neighbours in the batch.

# %%
norm = encoder.stem[1]
batch_map = encoder.stem[0](signals.unsqueeze(2)).detach()  # (B, C, 1, T/2)
mu = batch_map.mean((0, 2, 3), keepdim=True)
sigma = (batch_map.var((0, 2, 3), keepdim=True, correction=0) + norm.eps).sqrt()
gamma, beta = (p.detach().view(1, -1, 1, 1) for p in (norm.weight, norm.bias))
by_hand = gamma * (batch_map - mu) / sigma + beta  # eq 5, 6
by_torch = F.batch_norm(batch_map, None, None, norm.weight, norm.bias, training=True)
torch.allclose(by_hand, by_torch, atol=1e-4)

# %% [markdown]
# ## Channel attention
#
# The CAM looks at a whole map, all moments at once, and gives each channel one weight. First two numbers per
# channel:
#
# $$
# X^{avg} = f_{AvgPool}(X^o), \qquad X^{max} = f_{MaxPool}(X^o)
# $$ (eq-encoder-8-9)
#
# then two fully connected layers, the same for both, that halve the channels and restore them:
#
# $$
# X_1^{\cdot} = f_{ReLU}(f_{FC1}(X^{\cdot})), \qquad X_2^{\cdot} = f_{FC2}(X_1^{\cdot})
# $$ (eq-encoder-10-12)

# %%
chosen = audit.named_blocks(encoder)[block]
cam = chosen.cam
with torch.no_grad():
    normed = chosen.branch(audit.block_input(encoder, x[None], block))  # (1, C, 1, T')
    alpha = cam.weights(normed)[0].float()  # (C,)
    before, after = (t[0, :, 0].float() for t in (normed, cam(normed)))  # (C, T')
average, maximum = before.mean(1), before.amax(1)  # (C,) each, eq 8 and 9


def squeeze(pooled):
    """Eq 10 to 12 for one kind of pooling."""
    return cam.fc2(F.relu(cam.fc1(pooled))).detach()


z = squeeze(average) + squeeze(maximum)  # (C,): the score of each channel

# %% [markdown]
# The sum $z$ becomes a weight, and the weight scales the channel:
#
# $$
# \alpha = \sigma\left(\frac{1}{1 + e^{-(X_2^{avg} + X_2^{max})}}\right)
# $$ (eq-encoder-13)
#
# $$
# X^{CAM} = \alpha \cdot \hat{X}^o
# $$ (eq-encoder-14)

# %%
once = torch.sigmoid(z)  # what the text asks for
twice = torch.sigmoid(once)  # equation 13 to the letter
ours = once if cam.gate == "sigmoid" else twice
same_weights = torch.allclose(ours, alpha, atol=1e-5)
same_map = torch.allclose(ours[:, None] * before, after, atol=1e-4)
print(f"weights as by hand: {same_weights}, map as by hand: {same_map}")

# %% [markdown]
# The module, and the block around it:
#
# ```{package-code} mccgaa/encoder.py
# :pyobject: ChannelAttention.forward
# ```
#
# ```{package-code} mccgaa/encoder.py
# :pyobject: ChannelAttention.weights
# ```
#
# ```{package-code} mccgaa/encoder.py
# :pyobject: Block.forward
# ```
#
# This is the channel half of CBAM {cite}`woo2018cbam`, which is Squeeze-and-Excitation
# {cite}`hu2018senet` with a second pooling: same two poolings, same shared layers, same sum. The paper cites
# neither. It differs in two points: CBAM squeezes to a sixteenth and takes one sigmoid.
#
# ## One beat through one gate
#
# In {numref}`fig-beat` the tallest beat of the record passes the gate of one early block. Each row is a channel,
# sorted by its weight. What can the gate do? It makes a row paler, over its whole length: the same
# weight for the QRS complex and for the noise between the beats.

# %%
seconds = x.shape[1] / rate
edge = round(0.6 * rate)
energy = x[:, edge:-edge].square().sum(0)
peak = edge + int(energy.argmax())
first, last = peak - round(0.4 * rate), peak + round(0.5 * rate)
step = round(x.shape[1] / before.shape[1])  # samples per moment
moments = slice(first // step, last // step)
beat = {lead: x[LEADS.index(lead), first:last] for lead in ("II", "V1")}
unit_name = "z" if standardised else {"none": "mV"}.get(settings.scaling, "scaled")

# %% mystnb={"figure": {"name": "fig-beat", "caption": "One held-out beat, and every channel of one block around it before and after the channel attention (equation 14). Channels are sorted by their weight."}, "image": {"alt": "Above, one heart beat in leads II and V1. Below, two heat maps of all channels of a block against time, before and after the gate, with a column of weights between them. The QRS complex excites nearly every channel before the gate; after it, rows with small weights have faded along their whole length."}}
plots.beat_through_gate(
    beat,
    (first / rate, last / rate),
    before[:, moments],
    alpha,
    after[:, moments],
    unit=unit_name,
)
plt.show()

# %% tags=["hide-input"]
page.glue("block", block)
page.glue("channels", len(alpha))
page.glue("alpha-low", alpha.min(), ".2f")
page.glue("alpha-high", alpha.max(), ".2f")

# %% [markdown]
# Block {glue:text}`block` has {glue:text}`channels` channels; for this ECG their weights run from
# {glue:text}`alpha-low` to {glue:text}`alpha-high`.
#
# ## Equation 13 cannot close the gate
#
# :::{admonition} Reading note: a sigmoid of a sigmoid
# :class: warning
# The fraction inside equation 13 is itself the sigmoid, $1/(1+e^{-z})$, and $\sigma$ is "the sigmoid
# activation function". The text says that the result is mapped "to the range [0, 1]". A sigmoid of something
# in (0, 1) lies in $(\sigma(0), \sigma(1)) = (0.5, 0.731)$. Such a gate never takes away more than half,
# and the most favoured channel is at most 1.46 times as loud as the least favoured, whatever is learned.
# The module knows both: `gate="sigmoid"`, the default, and `gate="double-sigmoid"`.
# :::

# %% tags=["hide-input"]
page.table(
    audit.gate_table().set_index("z"),
    "encoder-gate",
    "Both readings of equation 13.",
    digits=4,
)

# %% mystnb={"figure": {"name": "fig-gate", "caption": "The weight of a channel as a function of its score. The band is all that equation 13 can reach."}, "image": {"alt": "Two curves of alpha against the score z. One sigmoid rises from zero to one. The sigmoid of a sigmoid rises only from 0.5 to 0.731, inside a shaded band."}}
with style.unmarked():
    plots.gate_curves(audit.gate_table(np.linspace(-6, 6, 121)))
plt.show()

# %% [markdown]
# Turn the score, and a drawn beat follows:
#
# :::{widget} gate
# :::
#
# Does a trained model want more room than that? {numref}`fig-gates` has the gates of all blocks before
# and after pretraining.

# %%
gates = {
    "Before pretraining": audit.gates(untrained, signals),
    "After pretraining": audit.gates(encoder, signals),
}

# %% mystnb={"figure": {"name": "fig-gates", "caption": "Mean weight of each channel over held-out ECGs, by block: the spread over the channels. Lines are quartiles."}, "image": {"alt": "Two panels of violins, one per block. Before pretraining the weights lie close to one half. After pretraining they are spread more widely; the shaded band from 0.5 to 0.731 is what equation 13 to the letter could reach."}}
plots.gates_by_block(gates)
plt.show()

# %%
spread = pd.DataFrame(
    {
        number: {
            "channels": alphas.shape[1],
            "lowest": alphas.min().item(),
            "highest": alphas.max().item(),
            "between channels": alphas.mean(0).std().item(),
            "between records": alphas.std(0).mean().item(),
        }
        for number, alphas in gates["After pretraining"].items()  # (B, C) each
    }
).T.rename_axis("block")
page.table(
    spread.astype({"channels": int}),
    "encoder-gates",
    "The gates of the pretrained model on held-out ECGs.",
    lab=lab,
    digits=3,
)
every = torch.cat([a.flatten() for a in gates["After pretraining"].values()])
outside = ((every < 0.5) | (every > 0.7311)).float().mean()
page.glue("outside", outside, ".0%")
page.glue("below", (every < 0.5).float().mean(), ".0%")
page.glue("between", spread["between channels"].mean(), ".3f")
page.glue("within", spread["between records"].mean(), ".3f")

# %% [markdown]
# Of all weights given to these ECGs, {glue:text}`outside` lie outside the band, {glue:text}`below` below it:
# values that the printed equation cannot produce. [](#table-encoder-gates) also separates two kinds of variation. The
# weights of different channels differ by {glue:text}`between` (standard deviation, mean over the blocks); the
# weight of *one* channel differs from ECG to ECG by {glue:text}`within`. Only the second kind is
# attention, in the sense that it looks at the ECG in hand. The first could be had without any CAM, from the
# $\gamma$ of the batch norm just before it.
#
# ## Channels are not leads
#
# :::{admonition} Reading note: nothing here weighs a lead
# :class: warning
# "Prioritizing key leads", "adaptively highlights diagnostically relevant ECG leads", "lead-wise attention": the paper
# says it of the CAM in the abstract, in the introduction and in section 4.5. But the CAM is inside the
# blocks, and there the channels are the 64 to 512 feature maps of the stages. Leads exist at the input
# only. The first convolution has already summed over all twelve of them.
# :::
#
# How thoroughly does the stem mix? Take a filter's share of energy on each lead, and count how many leads
# carry it: one over the sum of squared shares, which is 1 for a filter that reads a single lead and 12 for one that
# reads all alike.

# %%
energy = w.detach().square().sum(-1)  # (filters, leads)
shares = energy / energy.sum(1, keepdim=True)
mixing = 1 / shares.square().sum(1)  # (filters,)
page.glue("filters", len(mixing))
page.glue("mixing", mixing.median(), ".1f")
page.glue("mixing-least", mixing.min(), ".1f")

# %% [markdown]
# The median of the {glue:text}`filters` filters draws on {glue:text}`mixing` leads, the most selective on
# {glue:text}`mixing-least`. No weight on a channel can turn one lead up. The gates may still *depend* on a lead:
# silence the leads one by one and see which gates move ({numref}`fig-leads`).

# %%
response = leads.lead_response(encoder, signals)
blocks = response.drop(columns="embedding")
page.glue("strongest-lead", response["embedding"].idxmax())
page.glue("strongest-move", blocks.to_numpy().max(), ".3f")
page.glue("typical-move", blocks.to_numpy().mean(), ".3f")

# %% mystnb={"figure": {"name": "fig-leads", "caption": "Each lead silenced in turn: mean change of the gates of every block, and of the embedding."}, "image": {"alt": "A heat map of twelve leads by the encoder's blocks, coloured by the mean absolute change of the gate weights, next to bars of the cosine distance that the embedding moves when the lead is silenced."}}
plots.lead_response(response)
plt.show()

# %% [markdown]
# The embedding moves most without {glue:text}`strongest-lead`. A gate moves by {glue:text}`typical-move` on
# average and by {glue:text}`strongest-move` at most: small against the spread between channels above. This is a
# response of features to their input, as any layer has, and no selection of leads.
#
# ### What a gate on leads would do
#
# One could put equations 8 to 14 before the stem, on the twelve leads themselves. Then the gate would have to
# judge a lead by its average and its maximum, for it is given nothing else. What do these two numbers know about
# a lead that has gone bad? We disturb one lead of each record in five ways and ask how well
# each number separates disturbed leads from the same leads intact (AUROC; 0.5 is guessing).

# %%
many = torch.from_numpy(store.batch(store.indices(split="val")[: 8 * records]))
evidence = leads.lead_evidence(
    scale_input(many, settings.scaling), rate, standardise=standardised
)
page.table(
    evidence,
    "encoder-lead-evidence",
    "AUROC of what a gate on leads could know, by disturbance.",
    lab=lab,
)
page.glue("evidence-average", evidence["average (eq 8)"].drop("flat").max(), ".2f")
page.glue("evidence-maximum", evidence["maximum (eq 9)"].drop("flat").max(), ".2f")

# %% [markdown]
# The flat lead apart, the average reaches {glue:text}`evidence-average` at best, the maximum
# {glue:text}`evidence-maximum`. Where leads are band-passed and standardised, every average is zero by
# construction. A gate on leads as the paper builds its gates would be nearly blind.
#
# Suppose it knew. An oracle turns down the disturbed lead, and only that one, before the frozen
# encoder. How close does the embedding come to that of the undisturbed ECG? The second weight,
# 0.684 = 0.5 / 0.731, is the strongest contrast that equation 13 to the letter allows.

# %%
oracle = leads.oracle_lead_gate(encoder, signals, rate, standardise=standardised)
page.table(
    oracle,
    "encoder-oracle",
    "Cosine to the undisturbed embedding, by the disturbed lead's weight.",
    lab=lab,
    digits=4,
)
written = oracle.round(4)  # as the table prints it: equal there is a tie
best = {
    kind: ", ".join(row.index[row == row.max()].str.removeprefix("weight "))
    for kind, row in written.iterrows()
    if row.nunique() > 1
}
page.glue("oracle-best", "; ".join(f"{kind}: {w}" for kind, w in best.items()))
page.glue("oracle-ties", ", ".join(set(oracle.index) - set(best)) or "none")

# %% [markdown]
# The best of the four weights, by disturbance: {glue:text}`oracle-best`. Disturbances for which all four weights are
# equal (a flat lead has nothing to weigh): {glue:text}`oracle-ties`. To
# silence a lead costs what the lead still knows, and the leads of an ECG are so
# redundant (four of the six limb leads follow from the other two) that the encoder gets over the loss of one.
#
# ## Where the ReLU is
#
# :::{admonition} Reading note: equation 7 against equation 14
# :class: warning
# Equations 2 to 4 call the convolution's output $X^o$. Equation 6 calls the normalised map $\hat{X}^o$. Equation 7
# applies the ReLU "finally" to $X^o$; equations 8 and 9 pool $X^o$; equation 14 scales $\hat{X}^o$. So the map
# that is pooled may be the convolution's, the normalised one, or the one after the ReLU, and the gate may
# come before or after the ReLU. Figure 2 puts it after BN, and so do we: it pools and scales
# the block's last $\hat{X}^o$; then comes the residual sum, then the ReLU.
# :::
#
# Half of the question answers itself. A weight $\alpha$ is positive, so $f_{ReLU}(\alpha x) = \alpha f_{ReLU}(x)$:
# for the same weights, gate and ReLU may change places. Not so once the shortcut is
# added between them, and a ResNet adds it before its last ReLU:

# %%
entering = audit.block_input(encoder, signals, block)  # (B, C, 1, T')
gap = audit.gate_and_relu_commute(chosen, entering)
page.glue("gap-alone", gap["without shortcut"], ".2g")
page.glue("gap-sum", gap["with shortcut"], ".2g")

# %% [markdown]
# Largest difference without shortcut: {glue:text}`gap-alone`; with it: {glue:text}`gap-sum`. The other half of the
# question is what to pool. Same block, same layers, three maps:

# %%
readings = audit.relu_readings(chosen, entering)
page.table(
    readings,
    "encoder-relu",
    "What eq 8 may pool: mean pooled values, and the weights they would give.",
    lab=lab,
    digits=3,
)

# %% [markdown]
# After BN the average of a channel, taken over a whole training batch, is $\beta$ exactly, so what is left for
# $X^{avg}$ to say of one ECG is how it departs from the others. After the ReLU the average is a measure of
# how much is going on. Both are sensible, they are not the same network, and the paper's numbers come from one
# of them without saying which.
#
# ## What a moment can see
#
# Stem and stages, at this profile's size:

# %%
sizes = {"input": x[None, :, None]}
with torch.no_grad():
    sizes["stem"] = encoder.stem(sizes["input"])
    for number, stage in enumerate(encoder.stages, 1):
        sizes[f"stage {number}"] = stage(list(sizes.values())[-1])
    sizes["1x1 convolution"] = encoder.project(sizes["stage 4"])
shapes = {k: {"channels": t.shape[1], "moments": t.shape[3]} for k, t in sizes.items()}
shapes = pd.DataFrame.from_dict(shapes, orient="index").rename_axis("after")
shapes["ms per moment"] = [1000 * seconds / n for n in shapes["moments"]]
page.table(shapes, "encoder-shapes", "The maps of one ECG.", lab=lab, digits=0)

# %% [markdown]
# Each moment of the last map sees a stretch of the input through the convolutions, its receptive field:
# with kernels $k_l$ and strides $s_l$ it is $1 + \sum_l (k_l - 1) \prod_{m < l} s_m$ samples long. In seconds it
# depends on the sampling rate.

# %%
table5 = paper.table(5)
cost = audit.size_table()  # the paper's widths, 12 x 5000
fields = {f"{n[3:]}, 500 Hz": s / 500 for n, s in cost["field (samples)"].items()}
here = audit.receptive_field(encoder)
fields[f"this profile, {rate} Hz"] = here / rate
page.glue("field-18", fields["ResNet18, 500 Hz"], ".2f")
page.glue("field-34", fields["ResNet34, 500 Hz"], ".2f")
page.glue("field-here", here / rate, ".2f")

# %% mystnb={"figure": {"name": "fig-fields", "caption": "Four seconds of a held-out ECG, and what one moment of the last map can see of it through the convolutions, by network and sampling rate."}, "image": {"alt": "A strip of lead II with several beats. Under it, horizontal bars for the receptive fields: at 500 hertz those of all four networks are shorter than a second, at 100 hertz ResNet-18 sees more than two seconds."}}
plots.fields_of_view(x[LEADS.index("II"), : 4 * rate], rate, fields)
plt.show()

# %% [markdown]
# :::{admonition} Reading note: at 500 Hz the network sees less than one RR interval
# :class: warning
# ResNet-18 at the paper's rate sees {glue:text}`field-18` s at a time, ResNet-34 {glue:text}`field-34` s. At 75 beats a
# minute one RR interval lasts 0.8 s. An irregular rhythm is a relation between beats, and at 500 Hz no moment of
# the 18-layer network sees two of them. What is left for rhythm is the pooling over moments at the end, and the CAM, which
# alone mixes the whole record into every block, as one factor per channel. That offers another reading of
# Table 4, where CAM is worth most on Rhythm: global context, not leads. At 100 Hz, as in this profile,
# the same network sees {glue:text}`field-here` s.
# :::
#
# ## From map to embedding
#
# $$
# X^e = f_{Linear}(X^{CAM})
# $$ (eq-encoder-15)
#
# :::{admonition} Reading note: linear, or convolution and attention
# :class: warning
# Equation 15 has one linear layer and $X^e \in \mathbb{R}^{B \times M}$; how the moments of
# $X^{CAM}$ become one vector is not said. The paragraph below equation 16 says that $X^e$ then "undergoes 1D convolution for
# dimension adjustment, attention-based pooling to aggregate key temporal information into global features, and
# normalization". No formula is given. We take the text: a 1x1 convolution to $M$ channels, attention with one learned query
# over the moments plus their positions, a linear layer, length one. `pool="mean"` takes the equation.
# :::
#
# The two are closer than they look. The mean over time of a 1x1 convolution *is* a linear layer on the mean:

# %%
with torch.no_grad():
    last_map = encoder.feature_map(signals)  # (B, C, 1, T')
    projected_first = encoder.project(last_map).mean((2, 3))  # (B, M)
    weight = encoder.project.weight.flatten(1)  # (M, C)
    pooled_first = last_map.mean((2, 3)) @ weight.T + encoder.project.bias
page.glue("linear-gap", (projected_first - pooled_first).abs().max(), ".1e")

# %% [markdown]
# They differ by {glue:text}`linear-gap`, which is rounding. What attention adds is a choice among moments, and a sense of
# where in the record they are. Does the pretrained model use either?

# %%
with torch.no_grad():
    features = encoder.features(signals)  # (B, M, T')
    attention = encoder.head.attention(features)[record]  # (heads, T')

# %% mystnb={"figure": {"name": "fig-moments", "caption": "Where the heads of the attention pooling look in one held-out ECG. A weight of 1 is what mean pooling gives every moment."}, "image": {"alt": "Above, ten seconds of lead II. Below, the weights of four attention heads over the same time, as lines around the value one."}}
plots.moments_attended(x[LEADS.index("II")], attention, rate)
plt.show()

# %%
pooling = audit.pooling_readings(encoder, signals)
page.table(
    pooling.assign(moments=pooling["moments"].map("{:.1f}".format)),
    "encoder-pooling",
    "Equation 15 and the text below 16: parameters, how many moments count, and the cosine "
    "between an embedding and that of the same map in another order.",
    lab=lab,
    digits=4,
)
attended = pooling["moments"]
page.glue("moments-all", attended.iloc[0], ".0f")
page.glue("moments-used", attended.iloc[1], ".1f")
page.glue("reordered", pooling["cosine, reordered"].iloc[1], ".4f")
with torch.no_grad():
    whole = encoder(signals)  # (B, M)
others = (whole @ whole.T)[~torch.eye(len(whole), dtype=torch.bool)]
page.glue("others", others.mean(), ".2f")

# %% [markdown]
# Of {glue:text}`moments-all` moments, the weights spread over {glue:text}`moments-used` in effect (the
# exponential of their entropy). Shuffle the moments, and the embedding keeps a cosine of
# {glue:text}`reordered` with the one in order; two different ECGs have {glue:text}`others` on average. At 1, the
# positions say nothing and the record is a bag of moments, each as long as the field of view. That makes the
# embedding indifferent to when things happen, which is welcome, and to what follows what,
# which is what most rhythms are about.
#
# The positions are stretched over whatever length comes in, so that any length can be encoded:


# %%
def cut(share):
    """Mean cosine of the whole ECG's embedding with that of its beginning."""
    part = signals[..., : round(share * signals.shape[-1])]
    with torch.no_grad():
        return (encoder(part) * whole).sum(1).mean()


page.glue("half", cut(0.5), ".3f")
page.glue("quarter", cut(0.25), ".3f")
torch.allclose(whole, unit(whole), atol=1e-6)

# %% [markdown]
# The embedding of the first half of an ECG has a cosine of {glue:text}`half` with that of the whole, that of the
# first quarter {glue:text}`quarter`. Each has length one, as the text below equation 16 asks.
#
# ## How deep
#
# Table 5 compares four depths. Here is what they hold and what they cost, at the paper's widths and input, and
# the paper's average AUC:

# %%
depth = cost.drop(columns="field (samples)")
depth["field (s)"] = cost["field (samples)"] / 500
depth["paper: Avg. AUC"] = table5["Avg. AUC"].reindex(depth.index)
page.table(
    depth, "encoder-depths", "The encoders of Table 5: size, work for one ECG, result."
)
page.glue("cam-18", cost.loc["1D-ResNet18", "CAM share"], ".0%")
page.glue("cam-50", cost.loc["1D-ResNet50", "CAM share"], ".0%")
page.glue("cam-101", cost.loc["1D-ResNet101", "CAM share"], ".0%")

# %% [markdown]
# :::{admonition} Reading note: the deeper networks are mostly attention
# :class: warning
# The CAM's two layers squeeze to a half, so a block of $C$ channels pays $C^2$ weights for them. The bottleneck
# blocks of ResNet-50 and 101 end in four times as many channels, up to 2048. The CAM is {glue:text}`cam-18` of the
# parameters of ResNet-18, but {glue:text}`cam-50` of ResNet-50 and {glue:text}`cam-101` of ResNet-101: there are more
# weights in the gates than in the network they gate. Table 5 therefore varies three things at once, depth,
# the size of the attention, and the field of view (that of ResNet-50 is shorter than that of ResNet-34),
# and its explanation, overfitting by depth, is one of several. It also has the depths help
# "PTBXL-Form and PTBXL-Super"; the next cell asks the table.
# :::

# %%
tasks = table5.columns.drop("Avg. AUC")
gain = table5.drop(index="avg AUC")[tasks] - table5.loc["1D-ResNet18", tasks]
helped = gain.drop(index="1D-ResNet18").max()
page.table(
    helped.rename("best gain of any deeper network").rename_axis("task").to_frame(),
    "encoder-depth-gain",
    "Table 5: what the best of the deeper networks gains over ResNet-18.",
)
page.glue("helped", " and ".join(helped[helped > 0].index))

# %% [markdown]
# By the printed numbers a deeper network helps {glue:text}`helped`, and no other task.
#
# ## How fast
#
# Three choices that change no equation make pretraining on a CPU faster: channels-last memory, convolutions of height one, and
# bfloat16 where the CPU computes it (without such instructions runs are in float32). `make bench` times a training step against the
# same network written with plain `Conv1d` in float32, both in turns in one process:

# %%
bench = json.loads(Path("bench/throughput.json").read_text(encoding="utf-8"))
page.glue("ours-rate", bench["ours_ecg_per_second"], ".0f")
page.glue("plain-rate", bench["plain_ecg_per_second"], ".0f")
page.glue("ratio", bench["ratio"], ".2f")
page.glue("threads", bench["threads"])
page.glue("cpu", bench["cpu"])
page.glue("batch", bench["batch"])

# %% [markdown]
# Recorded on {glue:text}`cpu`, threads: {glue:text}`threads`, batch {glue:text}`batch`, 12 x 1000 samples: {glue:text}`ours-rate` ECGs a
# second against {glue:text}`plain-rate`, the median ratio of paired runs being {glue:text}`ratio`. That they are the same network is
# tested in `tests/test_encoder.py`; here is the whole encoder once more, at the paper's scale:

# %%
full = EcgEncoder(EncoderConfig()).eval()
with torch.no_grad():
    embedding = full(torch.randn(1, 12, 5000))
print(f"{embedding.shape[1]} numbers, of length {embedding.norm():.4f}")

# %% [markdown]
# ## What this page found
#
# The CAM is CBAM's channel attention on feature maps: it weighs channels over a whole record, and nothing in it is a lead.
# Whether it earns its place is measured with the rest of the system around it, in
# {doc}`chapter 7 </notebooks/07_zero_shot>`.

# %% tags=["remove-input"]
double = audit.gate_table((-20.0, 20.0))["double sigmoid"]
deeper = cost.loc[["1D-ResNet50", "1D-ResNet101"], "CAM share"]
claims.show(
    *claims.on_real("no-gat", "merl"),
    claims.claim(
        "Equation 13 as printed never takes more than half of a channel away.",
        double.min() >= 0.5 and double.max() < 0.732,
        f"its gate lies between {double.min():.2f} and {double.max():.3f}",
    ),
    claims.claim(
        "Training uses gates that equation 13 cannot produce.",
        outside > 0.05,
        f"{outside:.0%} of the weights of a pretrained model lie outside its range",
    ),
    claims.claim(
        "A gate is more a constant of its channel than an answer to the ECG in hand.",
        spread["between channels"].mean() > spread["between records"].mean(),
        f"standard deviation {spread['between channels'].mean():.3f} between channels, "
        f"{spread['between records'].mean():.3f} between ECGs",
    ),
    claims.claim(
        "At 500 Hz no moment of ResNet-18's last map sees a whole RR interval.",
        fields["ResNet18, 500 Hz"] < 0.8,
        f"{fields['ResNet18, 500 Hz']:.2f} s; at 75 beats a minute an interval is 0.8 s",
    ),
    claims.claim(
        "ResNet-50 and 101 hold more weights in their gates than in the network gated.",
        deeper.min() > 0.5,
        f"{deeper.iloc[0]:.0%} and {deeper.iloc[1]:.0%} of the parameters",
    ),
)

# %% [markdown]
# ## Exercises
#
# What can a part of this encoder see, and what can it do with it? Decide before you unfold an answer: each of them is
# computed from what this page has in hand.
#
# 1. Play the map that enters a channel attention backwards in time. Which weights change?

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# None: the average and the maximum of a channel do not know the order of its moments.
with torch.no_grad():
    forwards, backwards = (cam.weights(m) for m in (normed, normed.flip(-1)))
print(f"largest change of a weight: {(forwards - backwards).abs().max():.0e}")
assert torch.allclose(forwards, backwards, atol=1e-5)

# %% [markdown]
# 2. The formula of the receptive field looks at kernels and strides alone. Check it without the formula: which samples of
# the input can change one moment of the last map? Then put the channel attention back: which samples can now?

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# The gradient of the moment says: without the attention a stretch as long as the formula
# has it, with the attention the whole record, for its average is over all moments.
reach = {}
for kind in ("none", "channel"):
    small = EncoderConfig(cam=kind, widths=(4, 4, 4, 4), embedding_dim=4)
    tiny = EcgEncoder(small).double().eval()
    for weight in tiny.parameters():
        weight.data.abs_()  # nothing negative: no ReLU closes, nothing cancels
    ones = torch.ones(1, small.leads, 4 * here, dtype=torch.float64, requires_grad=True)
    moments = tiny.feature_map(ones)[0].sum((0, 1))  # (T',)
    moments[len(moments) // 2].backward()
    touched = ones.grad.abs().sum((0, 1)).nonzero().flatten()
    reach[kind] = int(touched.max() - touched.min()) + 1
print(f"samples in reach: {reach['none']} without, {reach['channel']} with attention")
assert reach["none"] == audit.receptive_field(tiny)
assert reach["channel"] == ones.shape[-1]

# %% [markdown]
# 3. This page says that a gate is more a constant of its channel than an answer to the ECG in hand. Put it to the test:
# give every ECG the *mean* weight of each channel, in all blocks, and see how far the embeddings move. What would you
# compare that with?


# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# With weights that are as spread but belong to other channels: those move it further.
def embedded_with(gate_of):
    """Embeddings (B, M) with the weights (B, C) of each block made into others."""
    handles = [
        part.cam.register_forward_hook(
            lambda cam, inputs, _: (
                inputs[0] * gate_of(cam.weights(inputs[0]))[..., None, None]
            )
        )
        for part in audit.named_blocks(encoder).values()
    ]
    with torch.no_grad():
        found = encoder(signals)
    for handle in handles:
        handle.remove()
    return found


ways = {
    "constant": lambda a: a.mean(0, keepdim=True).expand_as(a),
    "of other channels": lambda a: a.roll(1, dims=1),
}
near = {name: (embedded_with(way) * whole).sum(1).mean() for name, way in ways.items()}
print("; ".join(f"gates {name}: cosine {c:.4f}" for name, c in near.items()))
assert near["constant"] > near["of other channels"]
