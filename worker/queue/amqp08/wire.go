package amqp08

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// Kinds of frames.
const (
	frameMethod    = 1
	frameHeader    = 2
	frameBody      = 3
	frameHeartbeat = 8
	frameEnd       = 0xCE
)

// maxFrame bounds a frame that is read: what amqplib asks for, with room for its ends.
const maxFrame = 131072

// Methods, as CLASS<<16 | METHOD. In the classes connection and channel 0-8 counts otherwise than 0-9-1.
const (
	connectionStart   = 10<<16 | 10
	connectionStartOK = 10<<16 | 11
	connectionTune    = 10<<16 | 30
	connectionTuneOK  = 10<<16 | 31
	connectionOpen    = 10<<16 | 40
	connectionOpenOK  = 10<<16 | 41
	connectionClose   = 10<<16 | 60
	connectionCloseOK = 10<<16 | 61
	channelOpen       = 20<<16 | 10
	channelOpenOK     = 20<<16 | 11
	channelFlow       = 20<<16 | 20
	channelFlowOK     = 20<<16 | 21
	channelClose      = 20<<16 | 40
	channelCloseOK    = 20<<16 | 41
	queueDeclare      = 50<<16 | 10
	queueDeclareOK    = 50<<16 | 11
	queuePurge        = 50<<16 | 30
	queuePurgeOK      = 50<<16 | 31
	basicPublish      = 60<<16 | 40
	basicGet          = 60<<16 | 70
	basicGetOK        = 60<<16 | 71
	basicGetEmpty     = 60<<16 | 72
)

// errEnded: the broker has closed the connection without a word.
var errEnded = errors.New("the connection was closed")

// method is a method with its arguments, in the making or as it was read.
type method struct {
	id        uint32
	arguments bytes.Buffer
}

func call(id uint32) *method { return &method{id: id} }

func (m *method) u16(v int) *method {
	_ = binary.Write(&m.arguments, binary.BigEndian, uint16(v)) // a buffer takes everything
	return m
}

func (m *method) u32(v uint32) *method {
	_ = binary.Write(&m.arguments, binary.BigEndian, v)
	return m
}

// short writes a text of at most 255 bytes; what is longer is cut, and then not found.
func (m *method) short(text string) *method {
	text = text[:min(len(text), 255)]
	m.arguments.WriteByte(byte(len(text)))
	m.arguments.WriteString(text)
	return m
}

func (m *method) long(text string) *method {
	m.u32(uint32(len(text)))
	m.arguments.WriteString(text)
	return m
}

// bits writes up to eight flags, the first one in the lowest bit.
func (m *method) bits(flags ...bool) *method {
	var octet byte
	for i, set := range flags {
		if set {
			octet |= 1 << i
		}
	}
	m.arguments.WriteByte(octet)
	return m
}

// table writes a table of texts, given as names and values in turns.
func (m *method) table(pairs ...string) *method { return m.long(fields(pairs...)) }

// fields are the fields of a table, without its length.
func fields(pairs ...string) string {
	var m method
	for i := 0; i+1 < len(pairs); i += 2 {
		m.short(pairs[i])
		m.arguments.WriteByte('S')
		m.long(pairs[i+1])
	}
	return m.arguments.String()
}

// startOK logs in. AMQPLAIN's response is a table without its length.
func startOK(account config.Broker) *method {
	return call(connectionStartOK).
		table("library", "Python amqplib", "library_version", "1.0.2").
		short("AMQPLAIN").
		long(fields("LOGIN", account.Username, "PASSWORD", account.Password.Reveal())).
		short("en_US")
}

// tuneOK takes what the broker proposes, within amqplib's own bounds, and no heartbeats: amqplib never has any.
func tuneOK(tune *method) *method {
	channels, frame := tune.readU16(), tune.readU32()
	if channels == 0 {
		channels = 65535
	}
	if frame == 0 || frame > maxFrame {
		frame = maxFrame
	}
	return call(connectionTuneOK).u16(channels).u32(frame).u16(0)
}

// contentHeader says how long a message is and that it is persistent; amqplib adds an encoding.
func contentHeader(size int) []byte {
	const contentEncoding, deliveryMode = 1 << 14, 1 << 12
	var m method
	m.u16(60).u16(0).u32(0).u32(uint32(size)).u16(contentEncoding | deliveryMode).short("UTF-8")
	m.arguments.WriteByte(2)
	return m.arguments.Bytes()
}

// What is read beyond a method's end is zero: the caller compares it with what it expects anyway.

func (m *method) readU16() int {
	return int(binary.BigEndian.Uint16(append(slices.Clone(m.arguments.Next(2)), 0, 0)))
}

func (m *method) readU32() uint32 {
	return binary.BigEndian.Uint32(append(slices.Clone(m.arguments.Next(4)), 0, 0, 0, 0))
}

func (m *method) readShort() string {
	length, err := m.arguments.ReadByte()
	if err != nil {
		return ""
	}
	return string(m.arguments.Next(int(length)))
}

func (m *method) readLong() string {
	length := m.readU32()
	return string(m.arguments.Next(int(min(length, maxFrame))))
}

// offers checks the first thing that a broker says: its version, its properties, its mechanisms.
func (m *method) offers(mechanism string) error {
	version := m.arguments.Next(2)
	_ = m.readLong()
	mechanisms := strings.Fields(m.readLong())
	if !bytes.Equal(version, []byte{8, 0}) {
		return fmt.Errorf("%w: it answers with version %v", ErrDialect, version)
	}
	if !slices.Contains(mechanisms, mechanism) {
		return fmt.Errorf("%w: it offers %s", ErrDialect, strings.Join(mechanisms, " "))
	}
	return nil
}

func (c *Connection) send(channel int, m *method) error {
	payload := binary.BigEndian.AppendUint32(nil, m.id) // class and method
	return c.write(frameMethod, channel, append(payload, m.arguments.Bytes()...))
}

func (c *Connection) write(kind byte, channel int, payload []byte) error {
	frame := []byte{kind}
	frame = binary.BigEndian.AppendUint16(frame, uint16(channel))
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(payload)))
	frame = append(append(frame, payload...), frameEnd)
	_, err := c.conn.Write(frame)
	return err
}

// start reads the broker's first frame. A broker that does not know the version answers with the header of one that it
// does, and hangs up.
func (c *Connection) start() (*method, error) {
	begin, err := c.reader.Peek(4)
	if err != nil {
		return nil, ended(err)
	}
	if string(begin) == header[:4] {
		return nil, fmt.Errorf("%w: it asks for another version of AMQP", ErrDialect)
	}
	return c.expect(0, connectionStart)
}

// expect reads until one of the answers comes. When the broker closes the channel or the connection instead, that is
// confirmed, and a *Refusal.
func (c *Connection) expect(channel int, answers ...uint32) (*method, error) {
	for {
		kind, on, payload, err := c.read()
		if err != nil {
			return nil, err
		}
		if kind != frameMethod || len(payload) < 4 {
			continue // a heartbeat, or the content of a message that nobody wants
		}
		m := call(binary.BigEndian.Uint32(payload))
		m.arguments.Write(payload[4:])
		switch {
		case m.id == channelClose:
			c.closed = true
			_ = c.send(on, call(channelCloseOK)) // the refusal is what matters
			return nil, m.refusal()
		case m.id == connectionClose:
			_ = c.send(0, call(connectionCloseOK))
			return nil, m.refusal()
		case on == channel && slices.Contains(answers, m.id):
			return m, nil
		}
	}
}

func (m *method) refusal() *Refusal {
	return &Refusal{Code: m.readU16(), Text: m.readShort(), Class: m.readU16(), Method: m.readU16()}
}

func (c *Connection) read() (kind byte, channel int, payload []byte, err error) {
	var head [7]byte
	if _, err := io.ReadFull(c.reader, head[:]); err != nil {
		return 0, 0, nil, ended(err)
	}
	size := binary.BigEndian.Uint32(head[3:])
	if size > maxFrame {
		return 0, 0, nil, fmt.Errorf("a frame of %d bytes", size)
	}
	payload = make([]byte, size+1)
	if _, err := io.ReadFull(c.reader, payload); err != nil {
		return 0, 0, nil, ended(err)
	}
	if payload[size] != frameEnd {
		return 0, 0, nil, errors.New("a frame without an end: this is not AMQP")
	}
	return head[0], int(binary.BigEndian.Uint16(head[1:])), payload[:size], nil
}

func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("%w: %w", errEnded, err)
	}
	return err
}
