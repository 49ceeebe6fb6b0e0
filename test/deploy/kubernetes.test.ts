import t from 'tap'
import { parse } from 'yaml'
import { type Config, checkConfig, manifests, portOf, skipWithoutCommand, stopTime } from './example.ts'

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string }
}

interface Container {
  readonly name: string
  readonly image: string
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
  readonly startupProbe: Probe
  readonly livenessProbe: Probe
  readonly readinessProbe: Probe
  readonly lifecycle: { readonly preStop: { readonly sleep: { readonly seconds: number } } }
  readonly securityContext: Record<string, unknown>
  readonly resources: { readonly limits: Record<string, string> }
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly subPath?: string }[]
}

interface PodSpec {
  readonly terminationGracePeriodSeconds: number
  readonly automountServiceAccountToken: boolean
  readonly securityContext: Record<string, unknown>
  readonly containers: readonly Container[]
  readonly volumes: readonly {
    readonly name: string
    readonly configMap?: { readonly name: string }
    readonly secret?: { readonly secretName: string }
  }[]
}

type Labels = Record<string, string>
interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly data?: Record<string, string>
  readonly stringData?: Record<string, string>
  readonly spec?: {
    readonly selector: Labels & { readonly matchLabels: Labels }
    readonly template: { readonly metadata: { readonly labels: Labels }; readonly spec: PodSpec }
    readonly ports: readonly { readonly port: number; readonly targetPort: string }[]
  }
}

const all = manifests('kubernetes/catflap.yaml') as unknown as Manifest[]
const of = (kind: string): Manifest => all.find(m => m.kind === kind)!
const pod = of('Deployment').spec!.template.spec
const container = pod.containers[0]!
const text = of('ConfigMap').data!['catflap.yaml']!
const config = parse(text, { strict: true }) as Config
const mountOf = (volume: string) => container.volumeMounts.find(m => m.name === volume)!
const portNamed = (name: string): number => container.ports.find(p => p.name === name)!.containerPort

t.test('four objects, which find each other by their labels', async t => {
  t.same(
    all.map(m => `${m.apiVersion} ${m.kind} ${m.metadata.name}`),
    ['v1 ConfigMap catflap', 'v1 Secret catflap', 'apps/v1 Deployment catflap', 'v1 Service catflap']
  )
  const { labels } = of('Deployment').spec!.template.metadata
  t.match(labels, of('Deployment').spec!.selector.matchLabels)
  t.match(labels, of('Service').spec!.selector)
})

t.test('probes ask the admin listener, at the paths that need no token', async t => {
  t.equal(portNamed('admin'), portOf(config.admin.address))
  t.notMatch(config.admin.address, /^127\./, 'the kubelet asks from outside of the pod')
  t.ok(config.admin.token)
  for (const probe of [container.startupProbe, container.livenessProbe])
    t.match(probe.httpGet, { path: '/livez', port: 'admin' })
  t.match(container.readinessProbe.httpGet, { path: '/readyz', port: 'admin' })
})

t.test('the Service leads to the listener, and not to the admin port', async t => {
  t.equal(portNamed('http'), portOf(config.listeners[0]!.address))
  t.same(
    of('Service').spec!.ports.map(p => p.targetPort),
    ['http']
  )
})

t.test('it is given the time that it needs to stop', async t => {
  const { seconds } = container.lifecycle.preStop.sleep
  t.ok(pod.terminationGracePeriodSeconds * 1000 >= seconds * 1000 + stopTime(config))
})

t.test('the file and its secrets are where they are looked for', async t => {
  const { volumes } = pod
  t.equal(volumes.find(v => v.name === 'config')?.configMap?.name, of('ConfigMap').metadata.name)
  t.equal(volumes.find(v => v.name === 'secrets')?.secret?.secretName, of('Secret').metadata.name)
  for (const { name } of container.volumeMounts) t.ok(volumes.some(v => v.name === name))
  t.match(mountOf('config'), { mountPath: '/etc/catflap/catflap.yaml', subPath: 'catflap.yaml' })
  const known = Object.keys(of('Secret').stringData!).map(key => `file:${mountOf('secrets').mountPath}/${key}`)
  const used = [...text.matchAll(/file:\S+/g)].map(m => m[0])
  t.same(used.toSorted(), known.toSorted())
})

t.test('the container has no more rights than it needs', async t => {
  t.match(pod.securityContext, { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
  t.match(container.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] }
  })
  t.equal(pod.automountServiceAccountToken, false)
  t.ok(container.resources.limits.memory)
  t.match(container.image, /:[\d.]+$/, 'a version, never the latest')
})

t.test('the file is one that catflap takes', { skip: skipWithoutCommand('config') }, t => checkConfig(t, text))
