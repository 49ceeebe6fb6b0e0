/** OpenTelemetry's own SDK reads the numbers, and says of them what we say. */
import { PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics'
import t from 'tap'
import { INSTRUMENTS, type InstrumentName, prometheusName } from '../../src/metrics/instruments.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { rpc, toolCall } from '../helpers/rpc.ts'
import { callTool, client, sdkDoor } from '../integration/http-door.ts'
import { type Sample, Scrape } from './scrape.ts'

class Reader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

/** Gauges and clocks that may differ from one reading to the next. */
const RESTLESS = /^(?:nodejs|process|target_info|catflap_(?:connections|exchanges_active|streams|downstream_io))/

t.test('a reader of the SDK collects what a scrape shows, series by series', async t => {
  const { door, url } = await sdkDoor(t, {}, { metrics: true })
  const c = await client(t, url)
  await callTool(c, 'echo')
  await callTool(c, 'fail')
  await c.listening()
  await rawPost(url, toolCall(1, 'a "quoted\\" näme'))
  await rawPost(url, rpc(1, 'ping'), { host: 'evil.example' })
  const reader = new Reader({ metricProducers: [door.metricProducer] })
  const provider = new MeterProvider({ readers: [reader] })
  t.teardown(() => provider.shutdown())
  const { resourceMetrics, errors } = await reader.collect()
  t.same(errors, [])
  const theirs = new Scrape(
    new PrometheusSerializer(undefined, false, undefined, true, true).serialize(resourceMetrics)
  )
  const ours = new Scrape(door.exportMetrics())
  // Its serializer leaves the unit out of the name.
  const renamed = new Map(
    Object.entries(INSTRUMENTS).map(([name, { type }]) => {
      const plain = `${name.replaceAll('.', '_')}${type === 'counter' ? '_total' : ''}`
      return [plain, prometheusName(name as InstrumentName)]
    })
  )
  const shown = ({ name, labels, value }: Sample): string =>
    `${name} ${JSON.stringify(Object.entries(labels).sort())} ${value}`
  const named = theirs.samples.map(s => {
    const [, family, suffix = ''] = /^(.*?)(_bucket|_count|_sum)?$/.exec(s.name)!
    return { ...s, name: `${renamed.get(family!) ?? family}${suffix}` }
  })
  const calm = (samples: readonly Sample[]) =>
    samples
      .filter(s => !RESTLESS.test(s.name))
      .map(shown)
      .sort()
  t.ok(calm(ours.samples).length > 100)
  t.same(calm(named), calm(ours.samples))
})

t.test('without metrics there is none', async t => {
  const { door } = await sdkDoor(t)
  t.throws(() => door.metricProducer, { message: /metrics: true/ })
})
