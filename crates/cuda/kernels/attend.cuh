// What the attentions share: the shape of the scores.
#pragma once
#include "pages.cuh"

struct Scores {
    float scale, cap; // no cap where it is 0
    int window;       // all earlier keys where it is 0
    const float *sinks; // one for each query head, or null
};

INLINE float capped(const Scores &s, float score) { return s.cap > 0.0f ? s.cap * tanhf(score / s.cap) : score; }

// The first key that the query at a place sees.
INLINE int first_key(const Scores &s, int place) { return s.window > 0 ? max(0, place + 1 - s.window) : 0; }
