/* A training step of a multilayer perceptron 8-H-H-1 (ReLU, mean squared error, Adam) as plain loops: about the limit
 * of one core. Weights lie (inputs, outputs), so that every inner loop runs over neighbours.
 *
 * gcc -O3 -march=native -ffast-math -DBATCH=16 limit.c -o limit -lm && ./limit   prints microseconds a step. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define INPUTS 8
#define HIDDEN 64
#define ROWS 20000
#define SECONDS 0.5

typedef struct {
    float *weight, *bias, *grad_weight, *grad_bias, *mean[2], *square[2];
    int inputs, outputs;
} Layer;

static float rows[ROWS * INPUTS], target[ROWS];
static float first[BATCH * HIDDEN], second[BATCH * HIDDEN], output[BATCH];
static float grad_first[BATCH * HIDDEN], grad_second[BATCH * HIDDEN], grad_output[BATCH];

static float *zeros(int count) { return aligned_alloc(64, (count * sizeof(float) + 127) / 64 * 64); }

static Layer layer(int inputs, int outputs) {
    Layer l = {.inputs = inputs, .outputs = outputs};
    int size = inputs * outputs;
    l.weight = zeros(size), l.grad_weight = zeros(size), l.mean[0] = zeros(size), l.square[0] = zeros(size);
    l.bias = zeros(outputs), l.grad_bias = zeros(outputs), l.mean[1] = zeros(outputs), l.square[1] = zeros(outputs);
    for (int i = 0; i < size; i++) {
        l.weight[i] = (rand() / (float)RAND_MAX - 0.5f) * 2 / sqrtf(inputs);
        l.mean[0][i] = l.square[0][i] = 0;
    }
    for (int i = 0; i < outputs; i++) l.bias[i] = l.mean[1][i] = l.square[1][i] = 0;
    return l;
}

static inline void forward(const Layer *l, const float *restrict in, float *restrict out, int inputs, int outputs) {
    for (int r = 0; r < BATCH; r++) {
        float sum[HIDDEN];
        for (int o = 0; o < outputs; o++) sum[o] = l->bias[o];
        for (int i = 0; i < inputs; i++)
            for (int o = 0; o < outputs; o++) sum[o] += in[r * inputs + i] * l->weight[i * outputs + o];
        for (int o = 0; o < outputs; o++) out[r * outputs + o] = outputs == 1 || sum[o] > 0 ? sum[o] : 0;
    }
}

static inline void backward(const Layer *l, const float *restrict in, const float *restrict grad, float *restrict back,
                            int inputs, int outputs) {
    for (int i = 0; i < inputs * outputs; i++) l->grad_weight[i] = 0;
    for (int o = 0; o < outputs; o++) l->grad_bias[o] = 0;
    for (int r = 0; r < BATCH; r++) {
        for (int o = 0; o < outputs; o++) l->grad_bias[o] += grad[r * outputs + o];
        for (int i = 0; i < inputs; i++) {
            float sum = 0, x = in[r * inputs + i];
            for (int o = 0; o < outputs; o++) {
                l->grad_weight[i * outputs + o] += x * grad[r * outputs + o];
                if (back) sum += l->weight[i * outputs + o] * grad[r * outputs + o];
            }
            if (back) back[r * inputs + i] = x > 0 ? sum : 0;
        }
    }
}

static inline void adam(float *restrict p, const float *restrict g, float *restrict m, float *restrict v, int n,
                        float rate, float scale) {
    for (int i = 0; i < n; i++) {
        m[i] = 0.9f * m[i] + 0.1f * g[i];
        v[i] = 0.999f * v[i] + 0.001f * g[i] * g[i];
        p[i] -= rate * m[i] / (sqrtf(v[i]) * scale + 1e-8f);
    }
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

int main(void) {
    for (int i = 0; i < ROWS * INPUTS; i++) rows[i] = rand() / (float)RAND_MAX - 0.5f;
    for (int r = 0; r < ROWS; r++) target[r] = sinf(rows[r * INPUTS]) + rows[r * INPUTS + 1] * rows[r * INPUTS + 2];
    Layer a = layer(INPUTS, HIDDEN), b = layer(HIDDEN, HIDDEN), c = layer(HIDDEN, 1), *all[] = {&a, &b, &c};
    int steps = 0;
    float loss = 0;
    double start = now();
    while (now() - start < SECONDS) {
        int from = steps++ % (ROWS / BATCH) * BATCH;
        forward(&a, rows + from * INPUTS, first, INPUTS, HIDDEN);
        forward(&b, first, second, HIDDEN, HIDDEN);
        forward(&c, second, output, HIDDEN, 1);
        loss = 0;
        for (int r = 0; r < BATCH; r++) {
            float error = output[r] - target[from + r];
            loss += error * error / BATCH;
            grad_output[r] = 2 * error / BATCH;
        }
        backward(&c, second, grad_output, grad_second, HIDDEN, 1);
        backward(&b, first, grad_second, grad_first, HIDDEN, HIDDEN);
        backward(&a, rows + from * INPUTS, grad_first, 0, INPUTS, HIDDEN);
        float rate = 1e-3f / (1 - powf(0.9f, steps)), scale = 1 / sqrtf(1 - powf(0.999f, steps));
        for (int l = 0; l < 3; l++) {
            Layer *one = all[l];
            adam(one->weight, one->grad_weight, one->mean[0], one->square[0], one->inputs * one->outputs, rate, scale);
            adam(one->bias, one->grad_bias, one->mean[1], one->square[1], one->outputs, rate, scale);
        }
    }
    printf("%.3f %g\n", (now() - start) / steps * 1e6, loss);
    return 0;
}
