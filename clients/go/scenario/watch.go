package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	types "erx.example/clients/gen/erx/prescriptions/types/v1"
	erx "erx.example/clients/gen/erx/prescriptions/v1"
)

var errEnough = errors.New("seen what was awaited")

// watch follows the patient's prescriptions, hears of one change, is cut off, and goes on where it was.
func (s *scenario) watch() error {
	var token []byte
	complete := func(told *erx.WatchPrescriptionsResponse) error {
		switch {
		case told.GetRow() != nil:
			say("watched row", told.GetRow())
		case told.GetRowsComplete() != nil:
			fmt.Println("watched rows_complete")
			return s.suspend()
		case told.GetChanged() != nil:
			sayChanged(told.GetChanged())
			return errEnough
		}
		return nil
	}
	if err := s.follow(&token, complete); err != nil {
		return err
	}
	// Nobody watches while this happens; the token remembers where to go on.
	if err := s.resume(); err != nil {
		return err
	}
	return s.follow(&token, func(told *erx.WatchPrescriptionsResponse) error {
		if told.GetHeartbeat() != nil {
			return nil
		}
		if told.GetChanged() == nil {
			return fmt.Errorf("a resumed watch told %v again", told)
		}
		sayChanged(told.GetChanged())
		return errEnough
	})
}

// follow reads the watch until take has had enough; where the call breaks off it is made again with the last token.
func (s *scenario) follow(token *[]byte, take func(*erx.WatchPrescriptionsResponse) error) error {
	ctx, cancel := s.as()
	defer cancel()
	pause := 50 * time.Millisecond
	for {
		err := s.once(ctx, token, take)
		switch status.Code(err) {
		case codes.Unavailable, codes.ResourceExhausted, codes.Canceled:
			select {
			case <-time.After(pause):
				pause = min(2*pause, time.Second)
			case <-ctx.Done():
				return ctx.Err()
			}
		default:
			if errors.Is(err, errEnough) {
				return nil
			}
			return err
		}
	}
}

func (s *scenario) once(
	ctx context.Context, token *[]byte, take func(*erx.WatchPrescriptionsResponse) error,
) error {
	ctx, cut := context.WithCancel(ctx)
	defer cut()
	stream, err := s.watches.WatchPrescriptions(ctx, &erx.WatchPrescriptionsRequest{
		Filter: &erx.PrescriptionFilter{PatientId: s.patient}, ResumeToken: *token,
	})
	if err != nil {
		return err
	}
	for {
		told, err := stream.Recv()
		if err != nil {
			return err
		}
		*token = told.GetResumeToken()
		if err := take(told); err != nil {
			return err
		}
	}
}

func (s *scenario) suspend() error {
	ctx, cancel := s.as(prescriber...)
	defer cancel()
	reply, err := s.commands.SuspendPrescription(ctx, &erx.SuspendPrescriptionRequest{
		RequestId: newID(), PrescriptionId: s.id, Reason: &types.ReasonCode{Text: "laboratory values awaited"},
	})
	if err != nil {
		return err
	}
	say("suspended", reply.GetPrescription())
	return nil
}

func (s *scenario) resume() error {
	ctx, cancel := s.as(prescriber...)
	defer cancel()
	reply, err := s.commands.ResumePrescription(ctx, &erx.ResumePrescriptionRequest{RequestId: newID(), PrescriptionId: s.id})
	if err != nil {
		return err
	}
	say("resumed", reply.GetPrescription())
	return nil
}

func sayChanged(changed *erx.PrescriptionChanged) {
	say("watched changed", changed.GetPrescription(), "event="+changed.GetEventType())
}
