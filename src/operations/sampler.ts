import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace';

export interface Sampling {
  /** One of the standard names of `OTEL_TRACES_SAMPLER`, which the library does not read by itself. */
  sampler: string;
  ratio: number;
}

export function samplerOf({ sampler: name, ratio }: Sampling): Sampler {
  const [, parentBased, root] = /^(parentbased_)?(.+)$/.exec(name) ?? [];
  const sampler =
    root === 'traceidratio'
      ? new TraceIdRatioBasedSampler(ratio)
      : root === 'always_off'
        ? new AlwaysOffSampler()
        : new AlwaysOnSampler();
  return parentBased === undefined ? sampler : new ParentBasedSampler({ root: sampler });
}
