"""Training the landmark network: synthetic motion, measured detector errors, ablations.

What is learned from: `motion` and `grasps` (poses of both hands), `detector_errors` (what the detector makes of them, as
`measure_errors` found it), `samples` (both together, as the network gets them), `measured_clips` (rendered clips and what the
detector saw in them). How: `train` (phases, settings, losses), `optimisation`. What each part brings: `ablation`, with
`ablation_data` (fingers hidden for a while) and `ablation_report`.
"""
