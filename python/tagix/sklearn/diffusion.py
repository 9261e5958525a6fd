class TagiDiffusion: pass
