// Scenario drives one prescription through its life over gRPC and prints what it saw, one line for each step.
//
// It is written as a client elsewhere would be: generated stubs, a channel with a service config, tokens, a watch that
// goes on after a cut, and errors decided by their reason. docs/clients.md says what each line means.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	eventlog "erx.example/clients/gen/erx/eventlog/v1"
	types "erx.example/clients/gen/erx/prescriptions/types/v1"
	erx "erx.example/clients/gen/erx/prescriptions/v1"
)

const callTimeout = 30 * time.Second

// Only UNAVAILABLE is tried again, with the same request and so the same request_id: that is why it is safe.
const serviceConfig = `{
  "methodConfig": [{
    "name": [{}],
    "waitForReady": true,
    "retryPolicy": {
      "maxAttempts": 4,
      "initialBackoff": "0.05s",
      "maxBackoff": "1s",
      "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE"]
    }
  }]
}`

func main() {
	command := flag.String("command", "127.0.0.1:50051", "address of the command server")
	query := flag.String("query", "127.0.0.1:50052", "address of the query server")
	tenant := flag.String("tenant", "default", "whose data")
	flag.Parse()
	if err := run(*command, *query, *tenant); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(command, query, tenant string) error {
	commands, err := connect(command)
	if err != nil {
		return err
	}
	defer commands.Close()
	queries, err := connect(query)
	if err != nil {
		return err
	}
	defer queries.Close()
	s := &scenario{
		commands: erx.NewPrescriptionCommandServiceClient(commands),
		queries:  erx.NewPrescriptionQueryServiceClient(queries),
		watches:  erx.NewPrescriptionWatchServiceClient(queries),
		tenant:   tenant,
		patient:  "patient-" + newID(),
	}
	for _, step := range []func() error{s.write, s.fill, s.watch, s.refusals} {
		if err := step(); err != nil {
			return err
		}
	}
	fmt.Println("done")
	return nil
}

func connect(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(serviceConfig))
}

type scenario struct {
	commands        erx.PrescriptionCommandServiceClient
	queries         erx.PrescriptionQueryServiceClient
	watches         erx.PrescriptionWatchServiceClient
	tenant, patient string
	id              string
}

// as makes the context of one call: who acts, for which tenant, and for how long at most.
func (s *scenario) as(actor ...string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	return metadata.AppendToOutgoingContext(ctx, append([]string{"erx-tenant", s.tenant}, actor...)...), cancel
}

var (
	prescriber = []string{"erx-actor-id", "dr-1", "erx-actor-role", "prescriber"}
	pharmacy   = []string{"erx-actor-id", "rph-1", "erx-actor-role", "pharmacy", "erx-organisation-id", "9900007"}
)

// write drafts, signs and releases the prescription; the draft is sent twice under one request_id.
func (s *scenario) write() error {
	ctx, cancel := s.as(prescriber...)
	defer cancel()
	create := &erx.CreatePrescriptionRequest{RequestId: newID(), Content: content(s.patient)}
	draft, err := s.commands.CreatePrescription(ctx, create)
	if err != nil {
		return err
	}
	s.id = draft.GetPrescription().GetPrescriptionId()
	say("created", draft.GetPrescription(), "id="+s.id)
	again, err := s.commands.CreatePrescription(ctx, create)
	if err != nil {
		return err
	}
	say("repeated", again.GetPrescription(), fmt.Sprintf("same=%t", proto.Equal(draft, again)))
	signed, err := s.commands.SignPrescription(ctx, &erx.SignPrescriptionRequest{
		RequestId: newID(), PrescriptionId: s.id,
		ContentSha256: draft.GetPrescription().GetContentSha256(),
		Signature:     []byte("signed"), Algorithm: "ES256", CertificateId: "cert-1",
		Factors: []types.SigningFactor{
			types.SigningFactor_SIGNING_FACTOR_KNOWLEDGE, types.SigningFactor_SIGNING_FACTOR_HARD_TOKEN,
		},
	})
	if err != nil {
		return err
	}
	say("signed", signed.GetPrescription())
	issued, err := s.commands.IssuePrescription(ctx, &erx.IssuePrescriptionRequest{RequestId: newID(), PrescriptionId: s.id})
	if err != nil {
		return err
	}
	say("issued", issued.GetPrescription())
	return nil
}

// fill claims and dispenses it, and reads each write at once by the token of its reply.
func (s *scenario) fill() error {
	ctx, cancel := s.as(pharmacy...)
	defer cancel()
	claimed, err := s.commands.ClaimPrescription(ctx, &erx.ClaimPrescriptionRequest{
		RequestId: newID(), PrescriptionId: s.id,
		Pharmacy: &types.PharmacyRef{NcpdpId: "9900007", Npi: "1245319599", Name: "Corner Pharmacy"},
	})
	if err != nil {
		return err
	}
	say("claimed", claimed.GetPrescription())
	if err := s.read(eventlog.ConsistencyMode_CONSISTENCY_MODE_OVERLAY, claimed.GetToken()); err != nil {
		return err
	}
	days := int32(15)
	dispensed, err := s.commands.DispenseMedication(ctx, &erx.DispenseMedicationRequest{
		RequestId: newID(), PrescriptionId: s.id,
		ClaimToken: claimed.GetClaimToken(), DispenseId: newID(),
		Product: medication(), Quantity: tablets("30"), DaysSupply: &days,
	})
	if err != nil {
		return err
	}
	say("dispensed", dispensed.GetPrescription())
	return s.read(eventlog.ConsistencyMode_CONSISTENCY_MODE_AT_LEAST, dispensed.GetToken())
}

func (s *scenario) read(mode eventlog.ConsistencyMode, token []byte) error {
	ctx, cancel := s.as()
	defer cancel()
	shown, err := s.queries.FetchPrescription(ctx, &erx.FetchPrescriptionRequest{
		PrescriptionId: s.id, Token: token, Consistency: mode,
	})
	if err != nil {
		return err
	}
	name := strings.TrimPrefix(mode.String(), "CONSISTENCY_MODE_")
	say("read", shown.GetPrescription(), "mode="+name, fmt.Sprintf("reached=%t", shown.GetAsOf().GetRequestedTokenReached()))
	return nil
}

// say prints one step: its name, the version and status of the prescription, and what else there is.
func say(step string, shown *erx.Prescription, more ...string) {
	status := strings.TrimPrefix(shown.GetStatus().String(), "PRESCRIPTION_STATUS_")
	words := append([]string{step, fmt.Sprintf("version=%d", shown.GetVersion()), "status=" + status}, more...)
	fmt.Println(strings.Join(words, " "))
}

// newID makes a random UUID (RFC 9562, version 4).
func newID() string {
	var raw [16]byte
	rand.Read(raw[:])
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80
	text := hex.EncodeToString(raw[:])
	return strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
}
