// kafkajs: what ../groups.rs asks of the members of one group. node grouped.js SERVERS TOPIC

const { Kafka, logLevel } = require("kafkajs")

const PARTITIONS = 4
const MS = 60000

const [servers, topic] = process.argv.slice(2)
const kafka = new Kafka({ clientId: "kafkajs", brokers: servers.split(","), logLevel: logLevel.NOTHING })
const read = []
// Called when a member has other partitions, or something was read.
let changed = () => {}

// Waits until something is so.
async function until(what, isSo) {
    const timer = setTimeout(() => {
        console.error("waited in vain until", what())
        process.exit(1)
    }, MS)
    while (!isSo()) await new Promise((resolve) => (changed = resolve))
    clearTimeout(timer)
}

// A member that commits whatever it reads.
async function member() {
    const consumer = kafka.consumer({ groupId: "kafkajs", heartbeatInterval: 200, sessionTimeout: 10000, maxWaitTimeInMs: 100 })
    const one = { count: 0, leave: () => consumer.disconnect() }
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
        one.count = (payload.memberAssignment[topic] || []).length
        changed()
    })
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const eachMessage = async ({ message }) => {
        read.push(Number(message.value.toString()))
        changed()
    }
    await consumer.run({ autoCommitThreshold: 1, eachMessage })
    return one
}

async function share(members, counts) {
    const told = () => members.map((one) => one.count).join(" ")
    await until(told, () => told() === counts.join(" "))
    console.log("shared", ...counts)
}

async function produce(first, end) {
    const producer = kafka.producer()
    await producer.connect()
    for (let number = first; number < end; number++) {
        await producer.send({ topic, messages: [{ partition: number % PARTITIONS, value: String(number) }] })
    }
    await producer.disconnect()
}

async function expect(count) {
    await until(() => read.join(" "), () => read.length >= count)
    console.log("read", ...read.splice(0, count).sort((a, b) => a - b))
}

async function main() {
    const first = await member()
    await share([first], [4])
    const second = await member()
    await share([first, second], [2, 2])
    await produce(0, 8)
    await expect(8)
    await second.leave()
    await share([first], [4])
    await produce(8, 16)
    await expect(8)
    await first.leave()
    await produce(16, 20)
    const third = await member()
    await expect(4)
    await third.leave()
    if (read.length > 0) throw new Error(`read once more: ${read}`)
}

main().catch((error) => {
    console.error(error)
    process.exitCode = 1
})
