// The npm package "mqtt" against the broker: node mqttjs.js URL VERSION CASE,... [CA-FILE]. Exits 0 when the cases hold.
'use strict'
const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const mqtt = require(path.join(process.cwd(), 'build/npm/node_modules/mqtt'))

const [url, version, names] = [process.argv[2], Number(process.argv[3]), process.argv[4].split(',')]
const ca = process.argv[5] && fs.readFileSync(process.argv[5])
let topic
const open = []

async function client(options = {}) {
	const c = await mqtt.connectAsync(url, { protocolVersion: version, reconnectPeriod: 0, ca, ...options })
	c.seen = []
	c.on('message', (t, payload, packet) => c.seen.push({ topic: t, payload: payload.toString(), packet }))
	open.push(c)
	return c
}

async function until(condition, what) {
	const end = Date.now() + 10000
	while (!condition()) {
		if (Date.now() > end) throw new Error(`not within ten seconds: ${what}`)
		await new Promise((resolve) => setTimeout(resolve, 5))
	}
}

async function roundTrip(qos) {
	const s = await client()
	const granted = await s.subscribeAsync(topic, { qos })
	assert.equal(granted[0].qos, qos)
	const p = await client()
	for (let i = 0; i < 50; i++) await p.publishAsync(topic, String(i), { qos })
	await until(() => s.seen.length >= 50, '50 messages')
	assert.deepEqual(s.seen.map((m) => m.payload), [...Array(50).keys()].map(String))
	assert.ok(s.seen.every((m) => m.packet.qos === qos && !m.packet.retain))
}

const cases = {
	qos0: () => roundTrip(0),
	qos1: () => roundTrip(1),
	qos2: () => roundTrip(2),
	async large() {
		const s = await client()
		await s.subscribeAsync(topic, { qos: 1 })
		const p = await client()
		const payload = 'x'.repeat(300000)
		await p.publishAsync(topic, payload, { qos: 1 })
		await until(() => s.seen.length === 1, 'the large message')
		assert.equal(s.seen[0].payload, payload)
	},
	async retained() {
		const p = await client()
		await p.publishAsync(topic, 'kept', { qos: 1, retain: true })
		const s = await client()
		await s.subscribeAsync(topic)
		await until(() => s.seen.length === 1, 'the retained message')
		assert.equal(s.seen[0].packet.retain, true)
		await p.publishAsync(topic, '', { qos: 1, retain: true })
		const late = await client()
		await late.subscribeAsync(topic)
		await p.publishAsync(topic, 'live', { qos: 1 })
		await until(() => late.seen.length === 1, 'the live message')
		assert.equal(late.seen[0].payload, 'live')
	},
	async will() {
		const s = await client()
		await s.subscribeAsync(topic, { qos: 1 })
		const victim = await client({ will: { topic, payload: Buffer.from('gone'), qos: 1, retain: false } })
		victim.stream.destroy()
		await until(() => s.seen.length === 1, 'the will')
		assert.equal(s.seen[0].payload, 'gone')
	},
	async wildcards() {
		const s = await client()
		await s.subscribeAsync([`${topic}/+/b`, `${topic}/x/#`])
		const p = await client()
		for (const t of ['a/b', 'a/c', 'x/y/z', 'x']) await p.publishAsync(`${topic}/${t}`, '1', { qos: 1 })
		await until(() => s.seen.length === 3, 'three messages')
		assert.deepEqual(s.seen.map((m) => m.topic), [`${topic}/a/b`, `${topic}/x/y/z`, `${topic}/x`])
	},
	async shared() {
		const two = [await client(), await client()]
		for (const c of two) await c.subscribeAsync(`$share/g/${topic}`, { qos: 1 })
		const p = await client()
		for (let i = 0; i < 20; i++) await p.publishAsync(topic, String(i), { qos: 1 })
		await until(() => two[0].seen.length + two[1].seen.length >= 20, '20 messages')
		const all = two.flatMap((c) => c.seen.map((m) => Number(m.payload))).sort((a, b) => a - b)
		assert.deepEqual(all, [...Array(20).keys()])
		assert.ok(two.every((c) => c.seen.length > 0))
	},
	async session() {
		const keep = { clientId: `keeper-${version}`, clean: false }
		if (version === 5) keep.properties = { sessionExpiryInterval: 300 }
		const first = await client(keep)
		await first.subscribeAsync(topic, { qos: 1 })
		await first.endAsync()
		const p = await client()
		await p.publishAsync(topic, 'while you were away', { qos: 1 })
		const c = mqtt.connect(url, { protocolVersion: version, reconnectPeriod: 0, ca, ...keep })
		open.push(c)
		const seen = []
		c.on('message', (t, payload) => seen.push(payload.toString()))
		let present
		c.on('connect', (packet) => { present = packet.sessionPresent })
		await until(() => seen.length === 1, 'the kept message')
		assert.equal(present, true)
	},
	async properties() {
		if (version !== 5) return
		const s = await client()
		await s.subscribeAsync(topic, { qos: 1, properties: { subscriptionIdentifier: 42 } })
		const p = await client()
		await p.publishAsync(topic, 'x', { qos: 1, properties: { contentType: 'text/plain', responseTopic: 'answer',
			correlationData: Buffer.from('corr'), userProperties: { a: ['1', '2'] }, messageExpiryInterval: 60 } })
		await until(() => s.seen.length === 1, 'the message')
		const got = s.seen[0].packet.properties
		assert.equal(got.contentType, 'text/plain')
		assert.equal(got.responseTopic, 'answer')
		assert.equal(got.correlationData.toString(), 'corr')
		assert.deepEqual(got.userProperties.a, ['1', '2'])
		assert.equal([].concat(got.subscriptionIdentifier)[0], 42)
	},
	async republished() {
		const s = await client()
		await s.subscribeAsync(topic, { qos: 1 })
		const p = await client()
		const properties = { correlationData: Buffer.from('corr'), userProperties: { a: ['1', '2'] } }
		await p.publishAsync(`told/${version}`, 'x', { qos: 1, properties: version === 5 ? properties : undefined })
		await until(() => s.seen.length === 1, 'the message of the rule')
		assert.equal(s.seen[0].payload, 'x')
		if (version !== 5) return
		const got = s.seen[0].packet.properties
		assert.deepEqual([got.payloadFormatIndicator, got.messageExpiryInterval], [true, 60])
		assert.deepEqual([got.contentType, got.responseTopic], ['text/plain', 'answer/x'])
		assert.equal(got.correlationData.toString(), 'corr')
		assert.deepEqual(got.userProperties.a, ['1', '2'])
	},
}

async function all() {
	for (const name of names) {
		topic = `js/${version}/${name}`
		await cases[name]()
		for (const c of open.splice(0)) c.end(true)
	}
}

all().then(() => process.exit(0), (error) => {
	console.error(error)
	process.exit(1)
})
