import {
  constants,
  monitorEventLoopDelay,
  PerformanceObserver,
  performance,
} from 'node:perf_hooks';
import type { Instruments } from './instruments.js';

const SAMPLE_MS = 20;
const GC_SECONDS = [0.001, 0.01, 0.1, 1];
const GC_KINDS = new Map([
  [constants.NODE_PERFORMANCE_GC_MINOR, 'minor'],
  [constants.NODE_PERFORMANCE_GC_MAJOR, 'major'],
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL, 'incremental'],
  [constants.NODE_PERFORMANCE_GC_WEAKCB, 'weakcb'],
]);

/**
 * The usual figures of a Node process, under their usual names. Not prom-client's own collection of
 * them: it never ends what it starts to watch, and a process of ours may open and close many apps.
 */
export function watchProcess(make: Instruments): Disposable {
  registerUsage(make);
  const loop = watchLoop(make);
  const collections = watchCollections(make);
  return {
    [Symbol.dispose]() {
      loop[Symbol.dispose]();
      collections[Symbol.dispose]();
    },
  };
}

function registerUsage({ reading, tally }: Instruments): void {
  tally('process_cpu_user_seconds_total', 'Processor time spent in user code.', () => {
    return process.cpuUsage().user / 1e6;
  });
  tally('process_cpu_system_seconds_total', 'Processor time spent in the kernel.', () => {
    return process.cpuUsage().system / 1e6;
  });
  const startedAt = performance.timeOrigin / 1_000;
  reading(
    'process_start_time_seconds',
    'When the process started, in seconds since 1970.',
    'min',
    () => startedAt,
  );
  reading('process_resident_memory_bytes', 'Resident memory.', 'sum', () => {
    return process.memoryUsage.rss();
  });
  reading('nodejs_heap_size_total_bytes', 'Size of the JavaScript heap.', 'sum', () => {
    return process.memoryUsage().heapTotal;
  });
  reading('nodejs_heap_size_used_bytes', 'Used part of the JavaScript heap.', 'sum', () => {
    return process.memoryUsage().heapUsed;
  });
  reading('nodejs_external_memory_bytes', 'Memory outside of the JavaScript heap.', 'sum', () => {
    return process.memoryUsage().external;
  });
}

/** Each reading tells of the time since the one before. */
function watchLoop({ reading }: Instruments): Disposable {
  const lag = monitorEventLoopDelay({ resolution: SAMPLE_MS });
  lag.enable();
  // What is measured is the time between two ticks of a timer: its period is no lag.
  const seconds = (ns: number) => Math.max(0, ns / 1e9 - SAMPLE_MS / 1_000);
  // The last of the three to be read; prom-client reads in the order of registration.
  const max = () => {
    const value = seconds(lag.max);
    lag.reset();
    return value;
  };
  reading('nodejs_eventloop_lag_p50_seconds', 'Median lag of the event loop.', 'max', () => {
    return seconds(lag.percentile(50));
  });
  reading('nodejs_eventloop_lag_p99_seconds', '99th percentile of that lag.', 'max', () => {
    return seconds(lag.percentile(99));
  });
  reading('nodejs_eventloop_lag_max_seconds', 'Longest lag of the event loop.', 'max', max);
  let before = performance.eventLoopUtilization();
  reading(
    'nodejs_eventloop_utilization_ratio',
    'Share of the time that the event loop was busy.',
    'max',
    () => {
      const now = performance.eventLoopUtilization();
      const { utilization } = performance.eventLoopUtilization(now, before);
      before = now;
      return utilization;
    },
  );
  return { [Symbol.dispose]: () => void lag.disable() };
}

function watchCollections({ histogram }: Instruments): Disposable {
  const durations = histogram(
    'nodejs_gc_duration_seconds',
    'Pauses for garbage collection, by kind.',
    GC_SECONDS,
    ['kind'],
  );
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      durations.observe({ kind: kindOf(entry) }, entry.duration / 1_000);
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  return { [Symbol.dispose]: () => observer.disconnect() };
}

function kindOf(entry: object): string {
  const detail: unknown = 'detail' in entry ? entry.detail : undefined;
  const kind = typeof detail === 'object' && detail !== null && 'kind' in detail && detail.kind;
  return (typeof kind === 'number' ? GC_KINDS.get(kind) : undefined) ?? 'other';
}
